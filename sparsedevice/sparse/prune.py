"""Pruning after training: one threshold for the table, and a floor of protected entries in each row."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from sparsedevice.sparse.initial import unit_rows


def magnitude_prune(table: scipy.sparse.csr_array, keep: int, floor: int) -> scipy.sparse.csr_array:
    """The table's ``keep`` largest entries, each row's ``floor`` largest before all others.

    As MagPrune in Tran et al. (arXiv 2406.17335). Rows are scaled back to length 1.

    Args:
        table: csr_array float32 (n x dim).
        keep: entries to keep, at least ``floor`` a row.
        floor: entries of each row that no other row's may displace.

    Returns:
        csr_array float32 (n x dim) with min(keep, stored) entries, indices sorted in each row.
    """
    row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    magnitude = np.abs(table.data)
    by_row = np.lexsort((-magnitude, row))
    rank = np.empty(len(by_row), dtype=np.int64)
    rank[by_row] = np.arange(len(by_row)) - np.repeat(table.indptr[:-1], np.diff(table.indptr))
    order = np.lexsort((-magnitude, rank >= floor))
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[:keep]] = True
    lengths = np.bincount(row[chosen], minlength=table.shape[0])
    pruned = scipy.sparse.csr_array(
        (table.data[chosen], table.indices[chosen], np.concatenate([[0], np.cumsum(lengths)])),
        shape=table.shape,
    )
    return unit_rows(pruned)
