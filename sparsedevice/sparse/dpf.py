"""DPF: dynamic pruning with feedback, a dense shadow that learns from the gradient at its pruned weights.

Lin, Stich, Barba, Dmitriev and Jaggi, "Dynamic Model Pruning with Feedback" (arXiv 2006.07253):

    w_{t+1} = w_t - lr · g(m_t ⊙ w_t)

The gradient is evaluated at the pruned weights and applied to the dense ones, so that an entry that was
pruned by mistake comes back by itself. The mask m_t is made anew every 16 steps from the largest |w|, and the
sparsity rises along a cubic (Zhu and Gupta, arXiv 1710.01878): s_t = s (1 - (1 - t/T)³).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.schedule import cubic_lengths
from sparsedevice.sparse.shadow import ShadowTable, largest_in_rows, largest_in_table, unit_pull_back

MASK_PERIOD = 16


class MaskedTable(ShadowTable):
    """A dense shadow and a mask: 9 bytes an entry.

    Attributes:
        mask: which entries are active, bool[n_rows * dim].
    """

    def __init__(self, values: Tensor) -> None:
        super().__init__(values)
        self.mask = torch.ones(self.n_rows * self.dim, dtype=torch.bool, device=values.device)

    def shape(self, rows: Tensor) -> Tensor:  # noqa: D102
        return self.mask.view(self.n_rows, self.dim)[rows]

    def pruned(self, rows: Tensor) -> Tensor:  # noqa: D102
        return self.raw(rows) * self.shape(rows)

    def pull_back(self, active: Active, gradient: Tensor, lr: float) -> Tensor:  # noqa: ARG002, D102
        return unit_pull_back(self.pruned(active.rows), gradient)

    def state(self) -> dict[str, Tensor]:  # noqa: D102
        return {**super().state(), "mask": self.mask}


class FeedbackMover:
    """Makes the mask anew every ``MASK_PERIOD`` steps.

    Attributes:
        table: whose mask it makes.
    """

    def __init__(self, table: MaskedTable, lengths: Tensor, end: float, *, global_budget: bool) -> None:
        """Start with everything active.

        Args:
            table: whose mask it makes.
            lengths: final number of entries of each row, int64[n_rows].
            end: fraction of training at which the final sparsity is reached.
            global_budget: one threshold for the table, one entry in each row at least.
        """
        self.table = table
        self._lengths = lengths
        self._end = end
        self._global = global_budget
        self._steps = 0

    def start_step(self, rows: Tensor, *, last: bool, progress: float) -> bool:  # noqa: ARG002
        """Make the mask anew where it is due; gradients of a step are not asked for."""
        if self._steps % MASK_PERIOD == 0:
            self._mask(progress)
        self._steps += 1
        return False

    def observe(self, rows: Tensor, gradient: Tensor) -> None:
        """Nothing: the shadow sees every gradient."""

    def end_period(self, period: int, progress: float) -> Tensor | None:  # noqa: ARG002
        """Make the mask anew, so that a short training ends within its budget too."""
        self._mask(progress)
        return None

    def _mask(self, progress: float) -> None:
        table = self.table
        lengths = cubic_lengths(self._lengths, table.dim, progress / self._end)
        magnitude = table.values.view(table.n_rows, table.dim).abs()
        if self._global:
            mask = largest_in_table(magnitude, int(lengths.sum()))
        else:
            mask = largest_in_rows(magnitude, lengths)
        table.mask = mask.view(-1)

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        return {"steps": torch.tensor([self._steps])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._steps = int(state["steps"][0])

    def nbytes(self) -> int:
        """Bytes beside the table's."""
        return 8
