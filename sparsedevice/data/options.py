"""What to read from a source and how to split it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from sparsedevice.errors import ConfigError

Format = Literal["auto", "csv", "tsv", "parquet", "movielens", "lightgcn", "recbole"]
SplitName = Literal["auto", "given", "random", "leave-last", "time"]
Keep = Literal["last", "first"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "format": get_args(Format),
    "split": get_args(SplitName),
    "deduplicate": get_args(Keep),
}
_TEXTS = ("user_column", "item_column", "rating_column", "timestamp_column", "title_column", "separator")


@dataclass(frozen=True)
class DataOptions:
    """How to read and split a log. Stored with the run as JSON.

    Attributes:
        format: file format; "auto" goes by the names of the files.
        user_column: column name, or its number from "1" where the file has no header; None guesses.
        item_column: as ``user_column``.
        rating_column: as ``user_column``.
        timestamp_column: as ``user_column``.
        title_column: as ``user_column``.
        separator: one character between the fields of a text table; None guesses.
        min_rating: interactions rated below are dropped; None keeps all.
        k_core: users and items with fewer interactions are dropped, until none is left; 1 keeps all.
        deduplicate: which of several interactions of one user with one item stays: the last or the first by
            timestamp, by place in the file where there are none.
        split: "given" (the source's own parts), "random" (per user), "leave-last" (each user's last
            interaction is test), "time" (what happened after a moment is test); "auto" is "given" where the
            source has parts, else "random".
        test_fraction: share of interactions in test, for "random" and "time"; 0 makes no test part.
        validation_fraction: share of train that is cut off as validation; 0 makes none. "leave-last" cuts
            each user's last train interaction whatever the share.
        seed: of the random splits.

    Raises:
        ConfigError: if a value is outside its range.
    """

    format: Format = "auto"
    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    timestamp_column: str | None = None
    title_column: str | None = None
    separator: str | None = None
    min_rating: float | None = None
    k_core: int = 1
    deduplicate: Keep = "last"
    split: SplitName = "auto"
    test_fraction: float = 0.2
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(choices)}")
        for name in _TEXTS:
            _check_text(name, getattr(self, name))
        if self.separator is not None and (len(self.separator.encode()) != 1 or self.separator in '"\r\n'):
            raise ConfigError(f"separator {self.separator!r} is not one plain character, such as ',' or ';'")
        for name in ("test_fraction", "validation_fraction"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise ConfigError(f"{name} {value!r} is outside [0, 1)")
        if self.min_rating is not None and not _is_number(self.min_rating):
            raise ConfigError(f"min_rating {self.min_rating!r} is not a number")
        _check_whole("k_core", self.k_core, 1)
        _check_whole("seed", self.seed, 0)

    def to_json(self) -> dict[str, Any]:
        """The options as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DataOptions:
        """The options from the object that ``to_json`` made; absent keys take their defaults.

        Raises:
            ConfigError: if a key is unknown or a value is outside its range.
        """
        unknown = sorted(set(value) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown data option {unknown[0]!r}")
        return cls(**value)


def _check_text(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f"{name} {value!r} is not a text of one character or more")


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} {value!r} is not a whole number of at least {least}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
