"""What a ranking is worth. Every metric is a mean over the users who have at least one relevant item."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray


def hits(
    top: NDArray[np.integer], relevant: scipy.sparse.csr_array, users: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Which places of each ranking hold a relevant item, bool[n, k].

    Args:
        top: item rows, best first, int[n, k]; -1 where a ranking is shorter than k.
        relevant: csr_array (n_users x n_items); a stored entry is relevant.
        users: row in ``relevant`` of each ranking, int[n].
    """
    found = np.zeros(top.shape, dtype=bool)
    for place, user in enumerate(users):
        items = relevant.indices[relevant.indptr[user] : relevant.indptr[user + 1]]
        found[place] = np.isin(top[place], items)
    return found


def recall(found: NDArray[np.bool_], n_relevant: NDArray[np.integer]) -> NDArray[np.float64]:
    """Recall@k of each user: hits among the k, divided by ALL relevant items of the user.

    The divisor stays the same where a user has more than k relevant items: the definition of the
    LightGCN evaluation and of its descendants.
    """
    value: NDArray[np.float64] = found.sum(axis=1) / n_relevant
    return value


def ndcg(found: NDArray[np.bool_], n_relevant: NDArray[np.integer]) -> NDArray[np.float64]:
    """NDCG@k of each user: Σ hit_p / log2(p + 1) over places p = 1…k, divided by its best value.

    The best value has the first min(k, number of relevant items) places hit.
    """
    k = found.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best: NDArray[np.float64] = np.concatenate([np.zeros(1), np.cumsum(discount)])
    gain: NDArray[np.float64] = np.matmul(found.astype(np.float64), discount)
    possible: NDArray[np.float64] = np.asarray(best[np.minimum(n_relevant, k)])
    return np.asarray(gain / possible, dtype=np.float64)


def hit_rate(found: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 for each user with at least one hit among the k, else 0."""
    return np.asarray(found.any(axis=1), dtype=np.float64)


def coverage(top: NDArray[np.integer], n_items: int) -> float:
    """Distinct items that occur in any of the rankings, divided by the number of items of the catalogue."""
    return len(np.unique(top[top >= 0])) / n_items


def summarise(
    top: NDArray[np.integer], relevant: scipy.sparse.csr_array, users: NDArray[np.integer]
) -> dict[str, float]:
    """Recall, NDCG and hit rate at k (k is the width of ``top``), and coverage.

    Args:
        top: as in ``hits``.
        relevant: as in ``hits``.
        users: as in ``hits``; each must have a relevant item.
    """
    k = top.shape[1]
    if len(users) == 0:
        return {f"recall@{k}": 0.0, f"ndcg@{k}": 0.0, f"hit_rate@{k}": 0.0, f"coverage@{k}": 0.0}
    found = hits(top, relevant, users)
    n_relevant = np.diff(relevant.indptr)[users]
    return {
        f"recall@{k}": float(recall(found, n_relevant).mean()),
        f"ndcg@{k}": float(ndcg(found, n_relevant).mean()),
        f"hit_rate@{k}": float(hit_rate(found).mean()),
        f"coverage@{k}": coverage(top, relevant.shape[1]),
    }
