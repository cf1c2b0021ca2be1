"""Splits of a log into train, validation and test, over the vocabularies of train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.interactions import Interactions
from sparsedevice.data.log import PARTS, Log
from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError

_TRAIN, _VALIDATION, _TEST = range(len(PARTS))


@dataclass(frozen=True, eq=False)
class Split:
    """A log in parts that share no user-item pair and the vocabularies of train.

    Attributes:
        train: what the model learns from.
        validation: what settings are chosen on, or None.
        test: what the reported figures come from, or None.
        rule: how the parts were made, in a sentence.
        warnings: what was left out, one sentence each.

    Raises:
        DataError: if the parts do not share their vocabularies.
    """

    train: Interactions
    validation: Interactions | None
    test: Interactions | None
    rule: str
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            part: Interactions | None = getattr(self, name)
            if part is not None and (
                part.user_ids != self.train.user_ids or part.item_ids != self.train.item_ids
            ):
                raise DataError(f"{name} has other vocabularies than train; all parts must share train's")

    def fingerprint(self) -> dict[str, str | None]:
        """Fingerprint of each part by its name; None for a part that is absent."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: None if part is None else part.fingerprint() for name, part in parts.items()}


def make_split(log: Log, options: DataOptions) -> Split:
    """Split a log that has no duplicate pairs.

    Raises:
        DataError: if the log lacks what the split needs, or train or test would be empty.
    """
    name = options.split
    if name == "auto":
        name = "random" if log.part is None else "given"
    part, rule = _SPLITS[name](log, options)
    if not (part == _TRAIN).any():
        raise DataError(
            f"the {name} split of {' + '.join(log.files)} leaves nothing to train on; {_ADVICE[name]}"
        )
    if not (part == _VALIDATION).any():
        rule = _cut_validation(log.interactions, part, options, rule, last=name == "leave-last")
    return _assemble(log.interactions, part, rule, _ADVICE[name])


def _given(log: Log, options: DataOptions) -> tuple[NDArray[np.int8], str]:
    if log.part is None:
        raise DataError(
            f"{' + '.join(log.files)} comes in one part, so there is no split to take as given; "
            "choose --split random, leave-last or time"
        )
    _ = options
    return log.part.copy(), f"as given ({', '.join(log.files)})"


def _random(log: Log, options: DataOptions) -> tuple[NDArray[np.int8], str]:
    part = np.full(len(log.interactions), _TRAIN, dtype=np.int8)
    if options.test_fraction == 0:
        return part, "no test part"
    test = _random_per_user(log.interactions, options.test_fraction, _generator(options, _TEST))
    part[test] = _TEST
    return part, f"test: {_percent(options.test_fraction)} of each user at random (seed {options.seed})"


def _leave_last(log: Log, options: DataOptions) -> tuple[NDArray[np.int8], str]:
    _ = options
    part = np.full(len(log.interactions), _TRAIN, dtype=np.int8)
    part[_last_per_user(log.interactions)] = _TEST
    order = "file order, there are no timestamps" if log.interactions.timestamp is None else "by timestamp"
    return part, f"test: the last of each user ({order})"


def _time(log: Log, options: DataOptions) -> tuple[NDArray[np.int8], str]:
    time = log.interactions.timestamp
    if time is None:
        raise DataError(
            f"{' + '.join(log.files)} has no timestamps, which --split time needs; "
            "name their column with --timestamp-column, or choose --split random"
        )
    part = np.full(len(time), _TRAIN, dtype=np.int8)
    if options.test_fraction == 0:
        return part, "no test part"
    n_train = min(int(len(time) * (1 - options.test_fraction)), len(time) - 1)
    cut = int(np.partition(time, n_train)[n_train])
    part[time >= cut] = _TEST
    return (
        part,
        f"test: everything from timestamp {cut} on, {_percent(float((part == _TEST).mean()))} of the log",
    )


_SPLITS: dict[str, Callable[[Log, DataOptions], tuple[NDArray[np.int8], str]]] = {
    "given": _given,
    "random": _random,
    "leave-last": _leave_last,
    "time": _time,
}
_ADVICE = {
    "given": "check that the parts use the same ids, or choose --split random",
    "random": "use a log with more interactions, or a smaller --test-fraction",
    "leave-last": "use a log with more interactions per user",
    "time": "choose another --test-fraction, or --split random",
}


def _cut_validation(
    interactions: Interactions, part: NDArray[np.int8], options: DataOptions, rule: str, *, last: bool
) -> str:
    """Move a part of train to validation, in place; no user and no item loses its last train interaction."""
    if options.validation_fraction == 0:
        return rule
    rows = np.flatnonzero(part == _TRAIN)
    train = interactions.select(rows)
    if last:
        cut = _keep_items(train, _last_per_user(train))
        how = "the last of each user's train"
    else:
        cut = _random_per_user(train, options.validation_fraction, _generator(options, _VALIDATION))
        how = f"{_percent(options.validation_fraction)} of each user's train at random (seed {options.seed})"
    if not cut.any():
        return rule + "; no validation: users have too few interactions"
    part[rows[cut]] = _VALIDATION
    return f"{rule}; validation: {how}"


def _random_per_user(
    interactions: Interactions, fraction: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Mask bool[n] of ``fraction`` of each user's interactions; every user and item keeps one outside."""
    user = interactions.user_index
    order = np.lexsort((generator.random(len(user)), user))
    count = np.bincount(user, minlength=interactions.n_users)
    take = np.minimum(np.floor(count * fraction + 0.5).astype(np.int64), count - 1)
    mask = np.zeros(len(user), dtype=np.bool_)
    mask[order] = _place_in_group(user[order], count) < take[user[order]]
    return _keep_items(interactions, mask)


def _last_per_user(interactions: Interactions) -> NDArray[np.bool_]:
    """Mask bool[n] of the last interaction of each user who has two; ties go to the later position."""
    user = interactions.user_index
    time = interactions.timestamp
    order = (
        np.argsort(user, kind="stable") if time is None else np.lexsort((np.arange(len(user)), time, user))
    )
    count = np.bincount(user, minlength=interactions.n_users)
    mask = np.zeros(len(user), dtype=np.bool_)
    mask[order] = (_place_in_group(user[order], count) == count[user[order]] - 1) & (count[user[order]] > 1)
    return mask


def _keep_items(interactions: Interactions, cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cut without the first interaction of each item that would otherwise have none left outside it."""
    left = np.bincount(interactions.item_index[~cut], minlength=interactions.n_items)
    lost = np.flatnonzero(cut & (left[interactions.item_index] == 0))
    _, first = np.unique(interactions.item_index[lost], return_index=True)
    cut = cut.copy()
    cut[lost[first]] = False
    return cut


def _place_in_group(sorted_group: NDArray[np.int32], count: NDArray[np.intp]) -> NDArray[np.intp]:
    """0, 1, 2 … within each run of ``sorted_group``; ``count`` holds the length of each group."""
    starts = np.cumsum(count) - count
    return np.arange(len(sorted_group)) - starts[sorted_group]


def _generator(options: DataOptions, part: int) -> np.random.Generator:
    # One stream per part: the same test whether or not a validation part is cut.
    return np.random.default_rng([options.seed, part])


def _assemble(interactions: Interactions, part: NDArray[np.int8], rule: str, advice: str) -> Split:
    """The parts over train's vocabularies; rows with ids that train never saw are dropped and counted."""
    train = interactions.select(part == _TRAIN)
    known_user = np.bincount(train.user_index, minlength=train.n_users) > 0
    known_item = np.bincount(train.item_index, minlength=train.n_items) > 0
    known = known_user[interactions.user_index] & known_item[interactions.item_index]
    others: dict[int, Interactions | None] = {}
    warnings = []
    for number in (_VALIDATION, _TEST):
        asked = part == number
        n_asked, n_known = int(asked.sum()), int((asked & known).sum())
        others[number] = interactions.select(asked & known) if n_known else None
        if n_asked and not n_known:
            row = int(np.flatnonzero(asked)[0])
            user = interactions.user_ids.ids[interactions.user_index[row]]
            item = interactions.item_ids.ids[interactions.item_index[row]]
            raise DataError(
                f"train never saw the user or the item of any of the {n_asked:,} {PARTS[number]} "
                f"interactions (the first: user {user!r}, item {item!r}); {advice}"
            )
        if n_known < n_asked:
            warnings.append(
                f"{n_asked - n_known:,} of {n_asked:,} {PARTS[number]} interactions were left out: "
                "train never saw their user or item"
            )
    compact = train.compact()
    if compact.n_users < 2 or compact.n_items < 2:
        raise DataError(
            f"train holds {compact.n_users} user(s) and {compact.n_items} item(s), "
            f"two or more are needed; {advice}"
        )
    user_row = np.cumsum(known_user, dtype=np.int32) - 1
    item_row = np.cumsum(known_item, dtype=np.int32) - 1

    def over_train(other: Interactions | None) -> Interactions | None:
        if other is None:
            return None
        return replace(
            other,
            user_index=user_row[other.user_index].astype(np.int32),
            item_index=item_row[other.item_index].astype(np.int32),
            user_ids=compact.user_ids,
            item_ids=compact.item_ids,
            titles=compact.titles,
        )

    return Split(compact, over_train(others[_VALIDATION]), over_train(others[_TEST]), rule, tuple(warnings))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
