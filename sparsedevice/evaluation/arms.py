"""Recommenders that learn nothing: what any model must beat."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.data import Split
from sparsedevice.evaluation.evaluate import report, split_parts
from sparsedevice.evaluation.ranking import top_k

USERS_PER_BLOCK = 512


def popularity_arm(split: Split, k: int = 20, *, part: str = "test") -> dict[str, Any]:
    """The metrics of recommending to everyone the unseen items with most interactions in train.

    Raises:
        DataError: if the split has no such part.
    """
    count = np.bincount(split.train.item_index, minlength=split.train.n_items).astype(np.float32)
    return _arm(split, k, part, "popularity", lambda n: np.tile(count, (n, 1)))


def random_arm(split: Split, k: int = 20, *, part: str = "test", seed: int = 0) -> dict[str, Any]:
    """The metrics of recommending random unseen items.

    Raises:
        DataError: if the split has no such part.
    """
    generator = np.random.default_rng(seed)
    n_items = split.train.n_items
    return _arm(split, k, part, "random", lambda n: generator.random((n, n_items), dtype=np.float32))


def _arm(split: Split, k: int, part: str, name: str, scores_of: Any) -> dict[str, Any]:
    relevant, seen, rows = split_parts(split, part)
    top: NDArray[np.int64] = np.empty((len(rows), min(k, split.train.n_items)), dtype=np.int64)
    for start in range(0, len(rows), USERS_PER_BLOCK):
        block = rows[start : start + USERS_PER_BLOCK]
        scores = scores_of(len(block))
        known: scipy.sparse.csr_array = seen[block]
        scores[np.repeat(np.arange(len(block)), np.diff(known.indptr)), known.indices] = -np.inf
        top[start : start + len(block)] = top_k(scores, k)
    return report(top, relevant, rows, name)
