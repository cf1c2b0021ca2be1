"""Which column of a table holds what: as the options say, else by the usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError

NO_COLUMN = "-"

# Compared without case, spaces and punctuation; earlier names win.
_GUESSES = {
    "user": (
        "user userid uid username customer customerid member memberid visitor visitorid account accountid "
        "reviewerid"
    ),
    "item": (
        "item itemid iid movie movieid product productid asin parentasin sku article articleid track trackid "
        "song songid artist artistid book bookid isbn video videoid app appid game gameid venue venueid "
        "business businessid content contentid"
    ),
    "rating": "rating ratings score stars overall preference",
    "timestamp": "timestamp time ts datetime date unixtime unixreviewtime eventtime createdat ratedat",
    "title": "title name itemtitle itemname movietitle moviename producttitle productname tracktitle",
}
GUESSES: dict[str, tuple[str, ...]] = {kind: tuple(names.split()) for kind, names in _GUESSES.items()}


@dataclass(frozen=True)
class ColumnNames:
    """Names of the columns to read; None where there is none."""

    user: str
    item: str
    rating: str | None = None
    timestamp: str | None = None
    title: str | None = None


def resolve(columns: Sequence[str], options: DataOptions, where: str) -> ColumnNames:
    """The columns to read from those that a table has.

    Args:
        columns: the table's columns.
        options: a column option of "-" reads none (for rating, timestamp, title).
        where: the file, for messages.

    Raises:
        DataError: if a column is named that is not there, or user or item cannot be guessed.
    """
    found = {kind: _resolve_one(kind, columns, options, where) for kind in GUESSES}
    for kind in ("user", "item"):
        if found[kind] is None:
            raise DataError(
                f"{where} has no column that looks like the {kind}: it has {', '.join(map(repr, columns))}; "
                f"name one with --{kind}-column"
            )
    return ColumnNames(
        str(found["user"]), str(found["item"]), *(found[k] for k in ("rating", "timestamp", "title"))
    )


def guess(kind: str, columns: Sequence[str]) -> str | None:
    """The first column whose name is usual for a kind ("user", "item", "rating", "timestamp", "title")."""
    by_plain_name = {_plain(column): column for column in reversed(columns)}
    return next((by_plain_name[name] for name in GUESSES[kind] if name in by_plain_name), None)


def _resolve_one(kind: str, columns: Sequence[str], options: DataOptions, where: str) -> str | None:
    asked: str | None = getattr(options, f"{kind}_column")
    if asked is None:
        return guess(kind, columns)
    if asked in columns:
        return asked
    if asked == NO_COLUMN:
        return None
    raise DataError(
        f"{where} has no column {asked!r}: it has {', '.join(map(repr, columns))}; change --{kind}-column"
    )


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
