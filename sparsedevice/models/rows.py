"""What the models that learn rows of tables share."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import scipy.sparse
import torch
from torch import Tensor

from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.sparse.active import Active
from sparsedevice.sparse.mover import Mover, ShapeMover
from sparsedevice.sparse.products import Blocks
from sparsedevice.sparse.shadow import ShadowTable
from sparsedevice.training.batches import Batch
from sparsedevice.training.optimizer import Table, normalise_rows, update_rows
from sparsedevice.training.projection import project_rows

# Item rows that are dense at one time in a step; never more than a quarter of the table.
ITEM_ROWS = 4096
# A user occurs once an epoch, an item in many steps: items are cut to their largest entries in every third.
ITEM_PROJECTION = 3


class BatchTensors(NamedTuple):
    """A ``Batch`` on the device of the tables; the same fields."""

    users: Tensor
    items: Tensor
    user: Tensor
    column: Tensor
    log_inclusion: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str) -> BatchTensors:
        """The arrays as tensors."""
        return cls(*(torch.from_numpy(array).to(device) for array in batch))


class Model(Protocol):
    """A model that training can run.

    Attributes:
        similarity: "cosine" or "dot".
        tables: what is learnt, by name; "items" is always there.
        movers: what moves the shape of the sparse ones of the tables.
    """

    similarity: str
    tables: dict[str, Table]
    movers: dict[str, Mover]

    def fold_in(self) -> FoldIn | None:
        """How a history becomes a query, where that is part of the model; None: chosen on validation."""
        ...

    def network(self) -> PairNetwork | None:
        """What makes scores of pairs of rows; None: their product."""
        ...

    def trained_tables(self) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array | None]:
        """Items csr_array float32 (n_items x dim) and users, None where the user is her history."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What is neither table nor mover: stored with checkpoints and counted as memory."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        ...

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch.

        Args:
            batch: users, positives and sampled items.
            lr: length of the step.
            step: number of this step in training.
            last: whether this is the last step before the shape moves.
            progress: share of training done, 0 to 1.

        Returns:
            The summed loss of the batch's positives.
        """
        ...


def end_period(model: Model, period: int, progress: float) -> None:
    """Move the shapes, and bring the rows that changed back to length 1."""
    for name, mover in model.movers.items():
        changed = mover.end_period(period, progress)
        model.tables[name] = mover.table
        if changed is not None:
            normalise_rows(model.tables[name], changed)


class PlainRows:
    """A model that is its tables; see ``Model``. Item rows are expanded block by block."""

    tables: dict[str, Table]
    movers: dict[str, Mover]

    def fold_in(self) -> FoldIn | None:
        """None: chosen on validation."""
        return None

    def network(self) -> PairNetwork | None:
        """None: scores are products of rows."""
        return None

    def trained_tables(self) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array | None]:
        """The tables as they are."""
        users = self.tables.get("users")
        return self.tables["items"].to_csr(), None if users is None else users.to_csr()

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to restore."""

    def watched(self, rows: dict[str, Tensor], *, last: bool, progress: float) -> set[str]:
        """The tables whose movers are to see the gradients of these rows int64[n]; called before a step."""
        return {
            name
            for name, mover in self.movers.items()
            if mover.start_step(rows[name], last=last, progress=progress)
        }

    def item_blocks(self, rows: Tensor) -> Blocks:
        """The rows int64[J] of the items table in blocks."""
        items = self.tables["items"]
        size = max(1, min(ITEM_ROWS, items.n_rows // 4))
        return [(start, items.active(rows[start : start + size])) for start in range(0, rows.numel(), size)]

    def update(
        self, name: str, active: Active, gradient: Tensor, lr: float, *, watched: set[str], project: bool
    ) -> None:
        """A step on rows of a table, with their gradient float32[n, dim]; see ``update_table``."""
        mover = self.movers.get(name)
        if mover is not None and name in watched:
            mover.observe(active.rows, gradient)
        update_table(self.tables[name], mover, active, gradient, lr, project=project)


def update_table(
    table: Table, mover: Mover | None, active: Active, gradient: Tensor, lr: float, *, project: bool
) -> None:
    """One step on some rows of a table; it moves their shape too if ``project`` and the method say so."""
    if table.gradient_hook is not None:
        table.gradient_hook(active, gradient)
    if isinstance(table, ShadowTable):
        gradient = table.pull_back(active, gradient, lr)
    if project and isinstance(mover, ShapeMover) and mover.explore > 0:
        project_rows(mover.table, active, gradient, lr, explore=mover.explore, blocks=mover.blocks)
    else:
        update_rows(table, active, gradient, lr, unit_rows=True)


def half_product(left: Tensor, right: Tensor) -> Tensor:
    """Product of factors rounded to bfloat16, several times faster on processors made for it.

    A rounding of 0.4 % in scores and gradients is small beside the noise of the sampled catalogue. Samples
    differ in size from step to step, and for every new shape the library below compiles and keeps another
    kernel: shapes are padded to few.
    """
    product = _half(left) @ _half(right)
    return product[: left.shape[0], : right.shape[1]].float()


def _half(matrix: Tensor) -> Tensor:
    """The matrix in bfloat16, with zero rows and columns up to a rounder shape."""
    if not matrix.is_contiguous() and matrix.T.is_contiguous():
        return _half(matrix.T).T
    rows, columns = (_rounder(size) for size in matrix.shape)
    if (rows, columns) == matrix.shape:
        return matrix.bfloat16()
    out = torch.zeros(rows, columns, dtype=torch.bfloat16, device=matrix.device)
    out[: matrix.shape[0], : matrix.shape[1]] = matrix
    return out


def _rounder(size: int) -> int:
    if size <= 64:
        return size
    grain = 64 if size <= 512 else 512
    return -(-size // grain) * grain
