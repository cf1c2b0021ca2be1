"""Filters of a log: duplicates, low ratings, users and items with too few interactions. In this order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.interactions import Interactions
from sparsedevice.data.log import Log
from sparsedevice.data.options import DataOptions, Keep
from sparsedevice.errors import DataError


def apply_filters(log: Log, options: DataOptions) -> Log:
    """The log without duplicates, without low ratings, and reduced to its k-core.

    Duplicates go first, so that a user's latest opinion counts, not the latest good one.

    Raises:
        DataError: if fewer than two users or items are left, or ratings are asked for and absent.
    """
    keep = distinct_pairs(log.interactions, options.deduplicate, log.part)
    if not keep.all():
        log = log.select(keep)
    if options.min_rating is not None:
        rating = log.interactions.rating
        if rating is None:
            raise DataError(f"{_names(log)} has no ratings, so --min-rating cannot be applied; leave it out")
        if not (rating >= options.min_rating).any():
            raise DataError(
                f"no interaction in {_names(log)} is rated {options.min_rating:g} or more (the highest is "
                f"{rating.max():g}); choose a lower --min-rating"
            )
        log = log.select(rating >= options.min_rating)
    if options.k_core > 1:
        keep = in_k_core(log.interactions, options.k_core)
        if not keep.any():
            raise DataError(
                f"no user and item of {_names(log)} have {options.k_core} interactions each "
                "among themselves; choose a smaller --k-core"
            )
        log = log.select(keep)
    for kind, ids in (("user", log.interactions.user_ids), ("item", log.interactions.item_ids)):
        if len(ids) < 2:
            raise DataError(
                f"{_names(log)} holds only one {kind} ({ids.ids[0]!r}) after filters; "
                "a recommender needs two or more"
            )
    return log


def distinct_pairs(
    interactions: Interactions, keep: Keep, part: NDArray[np.int8] | None = None
) -> NDArray[np.bool_]:
    """Mask bool[n] with one interaction of each user-item pair: the last or first by time, then by position.

    Where the log comes in parts, a pair stays in the earliest part that holds it (train before test).
    """
    n = len(interactions)
    time = interactions.timestamp
    pair = interactions.user_index.astype(np.int64) * interactions.n_items + interactions.item_index
    by_pair = np.argsort(pair, kind="stable")
    starts = np.diff(pair[by_pair], prepend=-1) != 0
    mask = np.ones(n, dtype=np.bool_)
    if starts.all():
        return mask
    # Only pairs that repeat need the sort by several keys.
    single = starts & np.append(starts[1:], True)
    rows = by_pair[~single].astype(np.int64)
    keys = [rows] + ([] if time is None else [time[rows]])
    if keep == "last":
        keys = [~key for key in keys]  # ~x is -x-1: the order reversed without overflow
    group = np.zeros(len(rows), dtype=np.int64) if part is None else part[rows].astype(np.int64)
    # lexsort sorts by its last key first; the first of each run of equal pairs stays.
    rows = rows[np.lexsort([*keys, group, pair[rows]])]
    mask[rows[np.diff(pair[rows], prepend=-1) == 0]] = False
    return mask


def in_k_core(interactions: Interactions, k: int) -> NDArray[np.bool_]:
    """Mask bool[n] of the k-core: users and items with fewer than k interactions go until none is left."""
    keep = np.ones(len(interactions), dtype=np.bool_)
    while True:
        before = int(keep.sum())
        for index, n in (
            (interactions.user_index, interactions.n_users),
            (interactions.item_index, interactions.n_items),
        ):
            count = np.bincount(index[keep], minlength=n)
            keep &= count[index] >= k
        if int(keep.sum()) == before:
            return keep


def _names(log: Log) -> str:
    return " + ".join(log.files)
