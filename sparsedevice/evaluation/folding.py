"""Users as their histories: the query that a device computes, for many users at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.evaluation.ranking import Queries

if TYPE_CHECKING:
    from sparsedevice.packing.fold_in import FoldIn


def inverse_norms(items: scipy.sparse.csr_array) -> NDArray[np.float32]:
    """1 / length of each item row, float32[n_items]; 1 for all-zero rows."""
    row = np.repeat(np.arange(items.shape[0]), np.diff(items.indptr))
    square = np.bincount(row, weights=np.square(items.data, dtype=np.float64), minlength=items.shape[0])
    return (1.0 / np.sqrt(np.where(square > 0, square, 1.0))).astype(np.float32)


def folded_queries(
    items: scipy.sparse.csr_array, similarity: str, fold_in: FoldIn, histories: scipy.sparse.csr_array
) -> Queries:
    """Queries ``A Σ weight[h] · row_scale[h] · v[h]`` over histories (docs/architecture.md, Fold-in).

    Args:
        items: item table, csr_array float32 (n_items x dim).
        similarity: "cosine" or "dot".
        fold_in: weights and matrix.
        histories: csr_array (n_users x n_items); a stored entry is an item of the history.
    """
    factor = inverse_norms(items) if similarity == "cosine" else np.ones(items.shape[0], np.float32)
    if fold_in.weights is not None:
        factor = factor * fold_in.weights

    def queries(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        history = histories[rows]
        weighted = scipy.sparse.csr_array(
            (factor[history.indices].astype(np.float64), history.indices, history.indptr), shape=history.shape
        )
        query = (weighted @ items).toarray()
        if fold_in.matrix is not None:
            query = query @ fold_in.matrix.T.astype(np.float64)
        length = np.linalg.norm(query, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (query / np.where(length > 0, length, 1.0)).astype(np.float32)
        return unit

    return queries
