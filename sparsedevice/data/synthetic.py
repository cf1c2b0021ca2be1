"""A small world with planted tastes, so that right answers are known, with readable titles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.interactions import Interactions
from sparsedevice.data.titles import GENRES, title_of
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.vocabulary import Vocabulary

_FIRST_SECOND = 1_704_067_200  # 2024-01-01T00:00:00Z
_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class SyntheticOptions:
    """What ``synthetic:key=value,…`` can set.

    Attributes:
        kind: "tastes" (noisy, with popular items) or "checkerboard" (every user has every item of its taste,
            no noise).
        users: number of users; user ``u`` has taste ``u % tastes``.
        items: number of items; item ``i`` belongs to taste ``i % tastes``.
        tastes: number of tastes; the checkerboard has two, even and odd.
        history: mean number of draws per user; repeated draws count once.
        loyalty: probability that a draw is from the user's own taste.
        seed: of everything that is random.

    Raises:
        ConfigError: if a value is outside its range.
    """

    kind: Literal["tastes", "checkerboard"] = "tastes"
    users: int = 2000
    items: int = 600
    tastes: int = 6
    history: int = 40
    loyalty: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("tastes", "checkerboard"):
            raise ConfigError(f"synthetic kind {self.kind!r} is unknown; choose tastes or checkerboard")
        if not 2 <= self.tastes <= len(GENRES):
            raise ConfigError(f"synthetic tastes={self.tastes} is outside 2 … {len(GENRES)}")
        for name, least in (("users", self.tastes), ("items", self.tastes), ("history", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"synthetic {name}={getattr(self, name)} is below {least}")
        if self.users > 2**31 - 1 or self.items > 2**31 - 1:
            raise ConfigError("synthetic users and items must each be below 2**31")
        if not 0 <= self.loyalty <= 1:
            raise ConfigError(f"synthetic loyalty={self.loyalty:g} is outside 0 … 1")

    @classmethod
    def parse(cls, source: str) -> SyntheticOptions:
        """The options in a source such as ``synthetic:users=2000,items=600``; absent keys take defaults.

        Raises:
            DataError: if a key is unknown or a value cannot be read.
            ConfigError: if a value is outside its range.
        """
        values: dict[str, str | int | float] = {}
        known: dict[str, type] = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        for setting in filter(None, source.partition(":")[2].split(",")):
            key, _, text = setting.partition("=")
            if key not in known:
                raise DataError(
                    f"synthetic parameter {setting!r} is unknown; known are {', '.join(known)}, as key=value"
                )
            try:
                values[key] = known[key](text)
            except ValueError:
                raise DataError(
                    f"synthetic parameter {setting!r} needs a number, as in {key}={_example(key)}"
                ) from None
        return cls(**values)  # type: ignore[arg-type]


def make_synthetic(options: SyntheticOptions) -> Interactions:
    """The world's log: ids are decimal numbers, ratings 1 to 5, timestamps within a year, titles."""
    return _KINDS[options.kind](options)


def checkerboard(n: int) -> Interactions:
    """As many items as users, n; even users have all even items, odd users all odd ones, and nothing else."""
    return make_synthetic(SyntheticOptions(kind="checkerboard", users=n, items=n, tastes=2))


def _checkerboard(options: SyntheticOptions) -> Interactions:
    n_even, n_odd = (options.items + 1) // 2, options.items // 2
    counts = np.where(np.arange(options.users) % 2 == 0, n_even, n_odd)
    user = np.repeat(np.arange(options.users, dtype=np.int64), counts)
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    item = 2 * place + user % 2
    return _world(
        options, user, item, np.full(len(user), 5.0), _FIRST_SECOND + place * _DAY_SECONDS, tastes=2
    )


def _tastes(options: SyntheticOptions) -> Interactions:
    generator = np.random.default_rng(options.seed)
    low = max(1, options.history // 2)
    draws = generator.integers(low, 2 * options.history - low + 1, size=options.users)
    user = np.repeat(np.arange(options.users, dtype=np.int64), draws)
    n = len(user)
    own = generator.random(n) < options.loyalty
    taste = np.where(own, user % options.tastes, generator.integers(0, options.tastes, size=n))
    item = _popular_item(options, taste, generator.random(n))
    likes = item % options.tastes == user % options.tastes
    rating = np.where(
        likes, generator.choice([3, 4, 5], size=n, p=[0.1, 0.4, 0.5]), generator.integers(1, 5, size=n)
    )
    time = _FIRST_SECOND + generator.integers(0, 365 * _DAY_SECONDS, size=n)

    _, first = np.unique(user * options.items + item, return_index=True)
    chosen = first[np.argsort(time[first], kind="stable")]  # a log is in the order of time
    return _world(options, user[chosen], item[chosen], rating[chosen], time[chosen], tastes=options.tastes)


def _popular_item(
    options: SyntheticOptions, taste: NDArray[np.int64], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """One item of each given taste, the taste's j-th item in proportion to 1 / (j + 5) ** 0.8."""
    item = np.empty(len(taste), dtype=np.int64)
    for t in range(options.tastes):
        n_items = len(range(t, options.items, options.tastes))
        share = np.cumsum((np.arange(n_items) + 5.0) ** -0.8)
        rows = np.flatnonzero(taste == t)
        place = np.searchsorted(share, uniform[rows] * share[-1], side="right")
        item[rows] = np.minimum(place, n_items - 1) * options.tastes + t
    return item


_KINDS: dict[str, Callable[[SyntheticOptions], Interactions]] = {
    "tastes": _tastes,
    "checkerboard": _checkerboard,
}


def _world(
    options: SyntheticOptions,
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    rating: NDArray[np.generic],
    time: NDArray[np.int64],
    *,
    tastes: int,
) -> Interactions:
    return Interactions(
        user_index=user.astype(np.int32),
        item_index=item.astype(np.int32),
        user_ids=Vocabulary([str(u) for u in range(options.users)]),
        item_ids=Vocabulary([str(i) for i in range(options.items)]),
        rating=rating.astype(np.float32),
        timestamp=time,
        titles=[title_of(i % tastes, i // tastes) for i in range(options.items)],
    ).compact()


def _example(key: str) -> str:
    return str(getattr(SyntheticOptions(), key))
