"""How to read and split a click log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from sparsedevice.errors import ConfigError

ClickFormat = Literal["auto", "csv", "tsv", "libfm", "movielens"]
ClickSplitName = Literal["auto", "given", "random"]

_COLUMNS = ("categorical", "numeric", "lists", "ignore")


@dataclass(frozen=True)
class ClickOptions:
    """Settings of reading and splitting. Stored with the run as JSON.

    Attributes:
        format: file format; "auto" goes by the names of the files.
        label_column: column of the label, or its number from "1" where the file has no header; None guesses.
        categorical: names of columns whose values are categories.
        numeric: names of columns whose values are numbers.
        lists: names of columns that hold several categories, separated by "|".
        ignore: names of columns to leave out.
        separator: one character between the fields of a text table; None guesses.
        positive_rating: a rating of at least this is a click, where ratings are read as clicks.
        min_count: a category with fewer training rows shares its field's row of unseen categories.
        split: "given" (the source's own parts), "random" (by row, all parts joined); "auto" is "given" where
            the source has a train and a test part.
        test_fraction: share of all rows in test, for "random".
        validation_fraction: share of all rows (of train, where the parts are given) in validation; 0 makes
            none.
        seed: of the random splits.

    Raises:
        ConfigError: if a value is outside its range.
    """

    format: ClickFormat = "auto"
    label_column: str | None = None
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    separator: str | None = None
    positive_rating: float = 4.0
    min_count: int = 2
    split: ClickSplitName = "auto"
    test_fraction: float = 0.1
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("format", get_args(ClickFormat)), ("split", get_args(ClickSplitName))):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is unknown for click logs; "
                    f"choose one of {', '.join(choices)}"
                )
        self._check_numbers()
        self._check_columns()

    def _check_numbers(self) -> None:
        for name in ("test_fraction", "validation_fraction"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ConfigError(f"{name} {value!r} is outside [0, 1)")
        if self.test_fraction + self.validation_fraction >= 1:
            raise ConfigError("test_fraction and validation_fraction leave nothing to train on; lower them")
        for name, least in (("min_count", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name} {value!r} is not a whole number of at least {least}")

    def _check_columns(self) -> None:
        if self.separator is not None and len(self.separator.encode()) != 1:
            raise ConfigError(f"separator {self.separator!r} is not one plain character, such as ',' or ';'")
        for name in _COLUMNS:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        named = [column for name in _COLUMNS for column in getattr(self, name)]
        twice = next((column for column in named if named.count(column) > 1), None)
        if twice is not None:
            raise ConfigError(f"column {twice!r} is named twice; give it one kind of {', '.join(_COLUMNS)}")

    def to_json(self) -> dict[str, Any]:
        """The options as a JSON object."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClickOptions:
        """The options from the object that ``to_json`` made.

        Raises:
            ConfigError: if a key is unknown or a value is outside its range.
        """
        unknown = sorted(set(value) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown click option {unknown[0]!r}")
        return cls(**value)
