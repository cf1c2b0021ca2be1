"""Gradients of inactive entries, for a sampled subset of rows only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class GradientAccumulator:
    """Gradient sums float32[m, dim] of ``m`` watched rows, a small share of the table's rows.

    SparseRec samples a subset of "important vectors" and computes gradients of inactive entries for it alone,
    so that the backward pass is sparse too; its sampling law is not known to us. Ours: the rows are put in a
    random order once a cycle and each period watches the next ``share`` of them, uniform without replacement.
    Every row is watched once a cycle (where ``share`` does not divide the rows, the last block is filled up
    with a few of the others), so each has the same chance, whatever its popularity. What is summed for a
    watched row is its exact gradient: as an estimate of the whole table's gradient, times 1 / ``share``, it
    is unbiased. The sum is signed and over all steps of the period: noise of single batches cancels.

    Attributes:
        rows: watched rows, int64[m], ascending.
        sums: float32[m, dim].
    """

    def __init__(self, n_rows: int, dim: int, share: float, seed: int, device: torch.device) -> None:
        self._n_rows = n_rows
        self._seed = seed
        self._size = max(1, min(n_rows, int(np.ceil(n_rows * share))))
        self._place = torch.full((n_rows,), -1, dtype=torch.int32, device=device)
        self.rows = torch.zeros(0, dtype=torch.int64, device=device)
        self.sums = torch.zeros(self._size, dim, dtype=torch.float32, device=device)

    def watch(self, period: int) -> None:
        """Clear the sums and watch the rows of this period, a function of seed and period alone."""
        per_cycle = -(-self._n_rows // self._size)
        cycle, part = divmod(period, per_cycle)
        order = np.random.default_rng([self._seed, cycle]).permutation(self._n_rows)
        start = min(part * self._size, self._n_rows - self._size)
        self._set(torch.from_numpy(np.sort(order[start : start + self._size])))

    def watch_rows(self, rows: Tensor) -> None:
        """Clear the sums and watch these rows (int64, ascending), or as many of them as fit."""
        if rows.numel() > self._size:
            rows = rows[torch.linspace(0, rows.numel() - 1, self._size).long().to(rows.device)]
        self._set(rows)

    def _set(self, rows: Tensor) -> None:
        self._place.fill_(-1)
        self.rows = rows.to(self._place.device)
        self._place[self.rows] = torch.arange(self.rows.numel(), dtype=torch.int32, device=self._place.device)
        self.sums.zero_()

    def add(self, rows: Tensor, gradient: Tensor) -> None:
        """Add the gradient float32[r, dim] of ``rows`` (int64[r], distinct) where they are watched."""
        place = self._place[rows]
        seen = torch.nonzero(place >= 0).squeeze(1)
        if seen.numel():
            self.sums[place[seen].long()] += gradient[seen]

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        return {"rows": self.rows, "sums": self.sums, "place": self._place}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        device = self._place.device
        self.rows, self.sums, self._place = (state[name].to(device) for name in ("rows", "sums", "place"))
