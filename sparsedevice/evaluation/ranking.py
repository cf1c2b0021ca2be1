"""Ranking the whole catalogue for many users, from sparse tables, in blocks of users and of items."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.packing.pair_network import PairNetwork

SCORE_BYTES = 48 << 20
ITEM_ROWS = 4096

Queries = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def rank(
    queries: Queries,
    items: scipy.sparse.csr_array,
    users: NDArray[np.int64],
    k: int,
    *,
    seen: scipy.sparse.csr_array | None = None,
    row_scale: NDArray[np.float32] | None = None,
    network: PairNetwork | None = None,
) -> NDArray[np.int64]:
    """The k best items of each user among all that the user has not seen.

    Args:
        queries: from user rows int64[b] to their query vectors float32[b, dim].
        items: item table, csr_array float32 (n_items x dim).
        users: which users to rank for, int64[n].
        k: length of a ranking.
        seen: csr_array (n_users x n_items); its entries are left out of the user's ranking.
        row_scale: float32[n_items], factor on each item's scores; None means 1.
        network: makes scores of pairs of rows; None means their product.

    Returns:
        item rows int64[n, k], best first; of equal scores the lower row comes first; -1 where fewer than k
        are left.
    """
    top = np.full((len(users), k), -1, dtype=np.int64)
    for start, scores in score_blocks(queries, items, users, row_scale=row_scale, network=network):
        block = users[start : start + len(scores)]
        if seen is not None:
            row, column = _entries(seen, block)
            scores[row, column] = -np.inf
        chosen = top_k(scores, k)
        top[start : start + len(scores), : chosen.shape[1]] = chosen
    return top


def score_blocks(
    queries: Queries,
    items: scipy.sparse.csr_array,
    users: NDArray[np.int64],
    *,
    row_scale: NDArray[np.float32] | None = None,
    network: PairNetwork | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Scores float32[b, n_items] of blocks of users, each with the place of its first user.

    Items are expanded a few thousand at a time and user blocks are cut so that the scores fit 48 MiB.
    """
    n_items = items.shape[0]
    item_rows = max(1, min(ITEM_ROWS, n_items // 4))
    user_rows = max(1, min(1024, SCORE_BYTES // (4 * max(n_items, 1))))
    for start in range(0, len(users), user_rows):
        query = queries(users[start : start + user_rows])
        scores = np.empty((len(query), n_items), dtype=np.float32)
        for first in range(0, n_items, item_rows):
            block = items[first : first + item_rows].toarray()
            part = query @ block.T if network is None else network.scores(query, block)
            scores[:, first : first + len(block)] = part
        if row_scale is not None:
            scores *= row_scale
        yield start, scores


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the k largest scores of each row, int64[n, min(k, columns)], ties to the lower column.

    -inf marks what may not be chosen; -1 stands where a row has fewer than k others.
    """
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        candidates = np.broadcast_to(np.arange(k), scores.shape).copy()
    else:
        candidates = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        kth = np.take_along_axis(scores, candidates, axis=1).min(axis=1)
        # The partition picks any of several columns that tie for the last place; such rows are settled one by
        # one.
        for row in np.flatnonzero((scores >= kth[:, None]).sum(1) > k):
            tied = np.flatnonzero(scores[row] >= kth[row])
            candidates[row] = tied[np.argsort(-scores[row, tied], kind="stable")[:k]]
        candidates.sort(axis=1)
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    top = np.take_along_axis(candidates, order, axis=1).astype(np.int64)
    top[np.take_along_axis(values, order, axis=1) == -np.inf] = -1
    return top


def table_queries(users: scipy.sparse.csr_array) -> Queries:
    """Queries that are rows of a user table."""
    return lambda rows: users[rows].toarray()


def _entries(
    matrix: scipy.sparse.csr_array, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    block = matrix[rows]
    return np.repeat(np.arange(len(rows)), np.diff(block.indptr)), block.indices
