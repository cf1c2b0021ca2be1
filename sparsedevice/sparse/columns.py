"""Alternate growth and pruning of embedding columns, which all tables of a model share.

After Du et al. (AMGP, arXiv 2105.01064; see ``structured``). Column j of the users meets column j of the
items only, so a column leaves all tables at once, with its moments, and pruned phases multiply narrower
matrices.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.structured import Phases, UnitGroup

# Length of grown columns against a row's, where one table meets itself and they cannot start at zero.
GROWN = 0.1


class ColumnMover:
    """Prunes columns when a pruned phase starts, grows them back when a full one does.

    The importance of a column is taken from the gradients of one table: those of the other give the same
    sum, as a score is a sum over columns of products of both. A grown column starts at zero in that table and
    random in the others, so that no score changes but by the scaling of rows to length 1.

    Attributes:
        table: whose gradients are observed.
        is_pruned: whether the model is small now.
    """

    def __init__(
        self, table: DenseTable, others: list[DenseTable], phases: Phases, sparsity: float, seed: int
    ) -> None:
        """Start full-size.

        Args:
            table: whose gradients are observed.
            others: the tables that share its columns.
            phases: when the model is full and when pruned.
            sparsity: share of the columns that a pruned phase does without.
            seed: of the values of grown columns.
        """
        self.table = table
        self.is_pruned = False
        self._others = others
        self._phases = phases
        self._sparsity = sparsity
        self._seed = seed
        self._growths = 0
        self._group = UnitGroup("columns", table.dim, table.device)
        self._products = torch.zeros(table.dim, device=table.device)

    def start_step(self, rows: Tensor, *, last: bool, progress: float) -> bool:  # noqa: ARG002
        """Ask for gradients in full phases."""
        self._end_step()
        return not self.is_pruned

    def observe(self, rows: Tensor, gradient: Tensor) -> None:
        """Add the products of weight and tangent gradient of some rows to those of the step."""
        weight = self.table.values.view(self.table.n_rows, -1)[rows]
        product = weight * gradient
        self._products += (product - product.sum(1, keepdim=True) * weight * weight).sum(0)

    def _end_step(self) -> None:
        self._group.observe(self._products)
        self._products.zero_()

    def end_period(self, period: int, progress: float) -> Tensor | None:  # noqa: ARG002
        """Bring the tables to the size of the phase at ``progress``, their rows to length 1."""
        wanted = self._phases.is_pruned(progress)
        if wanted == self.is_pruned:
            return None
        self._end_step()
        if wanted:
            self._prune()
        else:
            self._grow()
        self.is_pruned = wanted
        for table in (self.table, *self._others):
            rows = torch.nn.functional.normalize(table.values.view(table.n_rows, -1))
            table.values = rows.reshape(-1)
        return None

    def _prune(self) -> None:
        position = self._group.choose(self._sparsity)
        for table in (self.table, *self._others):
            table.keep_columns(position)
        self._group.keep(position)
        self._products = self._products[position]

    def _grow(self) -> None:
        group = self._group
        self._growths += 1
        generator = torch.Generator().manual_seed(self._seed * 1009 + self._growths)
        for place, table in enumerate((self.table, *self._others)):
            fresh = torch.randn(table.n_rows, group.size, generator=generator) / group.size**0.5
            if place == 0:
                fresh *= GROWN if not self._others else 0.0
            table.spread_columns(group.alive, fresh.to(table.device))
        group.restore()
        self._products = torch.zeros(group.size, device=self.table.device)

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        return {
            "progress": torch.tensor([int(self.is_pruned), self._growths]),
            "alive": self._group.alive,
            "importance": self._group.importance,
            "products": self._products,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned; the tables restore their width by themselves."""
        device = self.table.device
        self.is_pruned, self._growths = bool(state["progress"][0]), int(state["progress"][1])
        self._group.alive = state["alive"].to(device)
        self._group.importance = state["importance"].to(device)
        self._products = state["products"].to(device)

    def nbytes(self) -> int:
        """Bytes beside the tables'."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())
