"""PEP: learnt soft thresholds find a shape, which is trained again from its initial values.

Liu, Gao, Chen, Jin and Li, "Learnable Embedding Sizes for Recommender Systems" (arXiv 2101.07577). While the
shape is searched, scores are made of

    S(w, s) = sign(w) · relu(|w| - sigmoid(s))

with w and s learnt together by the gradient; a threshold sigmoid(s) belongs to a row, a column or the table.
Once the wanted number of entries is left, they start again from their initial values with the shape fixed, as
a lottery ticket.

In the paper what raises the thresholds is weight decay, and training goes on until a size happens to be
reached. Here all thresholds of a table share a shift c, so that a threshold is sigmoid(s + c); every 16 steps
c is set so that the number of entries follows a schedule that ends at the budget. Which rows or columns get
them is learnt, how many are left is asked for. Every row keeps an entry: in the paper rows die out, and with
no gradient they never come back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.shadow import ShadowTable, largest_in_table, unit_pull_back
from sparsedevice.sparse.table import SparseTable, column_dtype

SHIFT_PERIOD = 16
DECAY = 0.99
# Logits that a threshold moves in a step of length 1 whose gradients agree.
RATE = 0.03
LEAST = 1e-7


class ThresholdTable(ShadowTable):
    """A dense shadow and its thresholds.

    Attributes:
        logits: s, float32[n_rows], [dim] or [1].
        logits_second: mean squares of their gradients, as ``logits``.
        logits_updates: how often each was updated, int32, as ``logits``.
        shift: c, common to all, float32[1].
    """

    def __init__(self, values: Tensor, kind: str) -> None:
        super().__init__(values)
        self._kind = kind
        size = {"row": self.n_rows, "column": self.dim, "global": 1}[kind]
        self.logits = torch.zeros(size, device=values.device)
        self.logits_second = torch.zeros_like(self.logits)
        self.logits_updates = torch.zeros(size, dtype=torch.int32, device=values.device)
        self.shift = torch.full((1,), -torch.inf, device=values.device)

    def _logits(self, rows: Tensor) -> Tensor:
        """Logit s of each entry of the rows, to be broadcast to [r, dim]."""
        return self.logits[rows][:, None] if self._kind == "row" else self.logits[None, :]

    def shape(self, rows: Tensor) -> Tensor:  # noqa: D102
        return self.raw(rows).abs() > torch.sigmoid(self._logits(rows) + self.shift)

    def pruned(self, rows: Tensor) -> Tensor:  # noqa: D102
        raw = self.raw(rows)
        return raw.sign() * torch.relu(raw.abs() - torch.sigmoid(self._logits(rows) + self.shift))

    def pull_back(self, active: Active, gradient: Tensor, lr: float) -> Tensor:
        """Gradient of the entries above their threshold; the thresholds take their step."""
        rows = active.rows
        pruned = self.pruned(rows)
        gradient = unit_pull_back(pruned, gradient) * (pruned != 0)
        if not bool(torch.isinf(self.shift)):
            threshold = torch.sigmoid(self._logits(rows) + self.shift)
            slope = -gradient * pruned.sign() * threshold * (1 - threshold)
            self._learn(rows, slope, lr)
        return gradient

    def _learn(self, rows: Tensor, slope: Tensor, lr: float) -> None:
        if self._kind == "row":
            index, total = rows, slope.sum(1)
        elif self._kind == "column":
            index, total = torch.arange(self.dim, device=self.device), slope.sum(0)
        else:
            index, total = rows.new_zeros(1), slope.sum().view(1)
        second = self.logits_second[index] * DECAY + (1 - DECAY) * total * total
        updates = self.logits_updates[index] + 1
        self.logits_second[index], self.logits_updates[index] = second, updates
        norm = (second / (1 - DECAY ** updates.float())).sqrt().add_(1e-20)
        self.logits[index] -= RATE * lr * total / norm

    def margins(self) -> Tensor:
        """The shift at which each entry would fall, logit(|w|) - s, float32[n_rows, dim]."""
        rows = torch.arange(self.n_rows, device=self.device)
        magnitude = self.raw(rows).abs().clamp_(LEAST, 1 - LEAST)
        return torch.logit(magnitude) - self._logits(rows)

    def shift_to(self, keep: int) -> None:
        """Set the shift so that ``keep`` entries stay active."""
        if keep >= self.n_rows * self.dim:
            self.shift.fill_(-torch.inf)
            return
        self.shift = torch.topk(self.margins().view(-1), keep + 1, sorted=True).values[-1:].clone()

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        extra = {name: getattr(self, name) for name in ("logits", "logits_second", "logits_updates", "shift")}
        return {**super().state(), **extra}


class ThresholdMover:
    """Raises the thresholds on schedule, then hands the found shape over to a sparse table.

    Attributes:
        table: a ``ThresholdTable`` while the shape is searched, then a ``SparseTable``.
    """

    def __init__(
        self, table: ThresholdTable, budget: int, search_end: float, initial: Callable[[], Tensor]
    ) -> None:
        """Start with everything active.

        Args:
            table: whose thresholds are raised.
            budget: entries that are left at the end.
            search_end: fraction of training at which the shape is found.
            initial: makes the values that training started from again, float32[n_rows, dim].
        """
        self.table: ThresholdTable | SparseTable = table
        self._budget = budget
        self._schedule = Schedule(0.0, 1.0, search_end)
        self._search_end = search_end
        self._initial = initial
        self._steps = 0

    def entries(self, progress: float) -> int:
        """Entries that may be active at ``progress``."""
        table = self.table
        return round(
            self._budget * self._schedule.widening(table.n_rows * table.dim / self._budget, progress)
        )

    def start_step(self, rows: Tensor, *, last: bool, progress: float) -> bool:  # noqa: ARG002
        """Set the shift where it is due; gradients of a step are not asked for."""
        if isinstance(self.table, ThresholdTable) and self._steps % SHIFT_PERIOD == 0:
            self.table.shift_to(self.entries(progress))
        self._steps += 1
        return False

    def observe(self, rows: Tensor, gradient: Tensor) -> None:
        """Nothing: the shadow sees every gradient."""

    def end_period(self, period: int, progress: float) -> Tensor | None:  # noqa: ARG002
        """At the end of the search, make the sparse table of the found shape and the initial values."""
        table = self.table
        if isinstance(table, SparseTable) or progress < self._search_end:
            return None
        shape = largest_in_table(table.margins(), self._budget)
        initial = self._initial().to(table.device)
        lengths = shape.sum(1)
        self.table = SparseTable(
            table.n_rows,
            table.dim,
            torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            torch.nonzero(shape)[:, 1].to(column_dtype(table.dim)),
            initial[shape],
        )
        return torch.arange(table.n_rows, device=table.device)

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        return {"steps": torch.tensor([self._steps, int(isinstance(self.table, SparseTable))])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned; where the shape was found, ``table`` is one to be restored."""
        self._steps = int(state["steps"][0])
        if state["steps"][1]:
            table = self.table
            start = torch.zeros(table.n_rows + 1, dtype=torch.int64, device=table.device)
            none = start[:0]
            self.table = SparseTable(
                table.n_rows, table.dim, start, none.to(column_dtype(table.dim)), none.float()
            )

    def nbytes(self) -> int:
        """Bytes beside the table's."""
        return 16
