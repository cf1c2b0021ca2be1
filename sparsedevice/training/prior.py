"""What was learnt as a prior: a quadratic form around the old rows, its weights from their gradients."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.optimizer import Table


class Prior:
    """The term λ/2 (w - w_old)ᵀ H (w - w_old) of a table, H diagonal (arXiv 2108.13299).

    H is the mean square of the old loss's gradient per visit of a row, so that a visit in training weighs the
    old data once (times λ) against the new data once. Only entries that the old table had have an H; it pulls
    entries that have been dropped since as well, for the gradient of a visited row is whole. New rows have
    none.

    Attributes:
        strength: λ.
        anchor: the old rows over the new vocabulary; in place of its moments it holds H.
    """

    def __init__(self, old: scipy.sparse.csr_array, curvature: NDArray[np.float32], strength: float) -> None:
        """Take the old rows.

        Args:
            old: csr_array float32 (n_rows x dim), rows of length 1; new rows are empty.
            curvature: H of each entry of ``old``, float32[nnz].
            strength: λ, above 0.
        """
        self.strength = strength
        self.anchor = SparseTable.from_csr(old, "cpu")
        self.anchor.first = torch.from_numpy(np.ascontiguousarray(curvature, np.float32))

    def watch(self, table: Table) -> None:
        """Pull the rows of ``table`` from now on."""

        def pull(active: Active, gradient: Tensor) -> None:
            self.add_gradient_(gradient, active.rows, table.expand(active))

        table.gradient_hook = pull

    def add_gradient_(self, gradient: Tensor, rows: Tensor, block: Tensor) -> None:
        """Add λ H (w - w_old) to the gradient of some rows.

        Args:
            gradient: float32[r, dim], changed in place.
            rows: distinct rows, int64[r].
            block: their values now, float32[r, dim].
        """
        anchor = self.anchor
        active = anchor.active(rows.to(anchor.device))
        entry, flat = active.entry, active.flat.to(gradient.device)
        old = anchor.values[entry].to(gradient.device)
        weight = anchor.first[entry].to(gradient.device)
        gradient.view(-1)[flat] += self.strength * weight * (block.reshape(-1)[flat] - old)

    def nbytes(self) -> int:
        """Bytes of the old rows and of H."""
        return self.anchor.nbytes()


class Curvature:
    """Sums squares of the gradients that a table's rows get, to become the H of a ``Prior``.

    Attributes:
        squares: sum of the squares of each entry's gradient, float32[nnz].
        visits: how often each row was visited, float32[n_rows].
    """

    def __init__(self, table: Table) -> None:
        """Watch ``table`` from now on."""
        self.squares = torch.zeros(table.nnz)
        self.visits = torch.zeros(table.n_rows)
        self._table = table
        table.gradient_hook = self._observe

    def _observe(self, active: Active, gradient: Tensor) -> None:
        grad = active.of_block(gradient)
        values = self._table.values[active.entry]
        # Rows have length 1: only the part along the sphere moves them.
        grad = grad - active.per_entry(active.row_sum(grad * values)) * values
        self.squares[active.entry] += grad * grad
        self.visits[active.rows] += 1

    def mean(self, row_lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Mean square per visit of each entry, float32[nnz]; 0 in rows that were never visited."""
        visits = np.maximum(self.visits.numpy(), 1)
        answer: NDArray[np.float32] = (self.squares.numpy() / np.repeat(visits, row_lengths)).astype(
            np.float32
        )
        return answer


def carried_over(
    old: scipy.sparse.csr_array, curvature: NDArray[np.float32], new: scipy.sparse.csr_array
) -> NDArray[np.float32]:
    """The H of ``old``'s entries at the places of ``new``'s (same shape), 0 elsewhere, float32[nnz]."""

    def keys(table: scipy.sparse.csr_array) -> NDArray[np.int64]:
        row = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
        return row * table.shape[1] + table.indices

    old_keys, new_keys = keys(old), keys(new)
    place = np.minimum(np.searchsorted(old_keys, new_keys), max(len(old_keys) - 1, 0))
    if not len(old_keys):
        return np.zeros(len(new_keys), np.float32)
    found: NDArray[np.float32] = np.where(old_keys[place] == new_keys, curvature[place], 0).astype(np.float32)
    return found
