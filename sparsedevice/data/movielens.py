"""Reader of MovieLens and its like: u.data, ratings.dat, ratings.csv, titles from the file beside."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.data.columns import resolve
from sparsedevice.data.frames import join, read_text_table
from sparsedevice.data.item_titles import read_titles
from sparsedevice.data.log import Log
from sparsedevice.data.options import DataOptions
from sparsedevice.data.text_table import TextTable, first_line, open_table
from sparsedevice.errors import DataError

RATINGS = ("u.data", "ratings.dat", "ratings.csv")
_TITLES = {"u.item": "|", "movies.dat": "::", "movies.csv": ","}
_COLUMNS = ("user", "item", "rating", "timestamp")


def read_movielens(path: Path, options: DataOptions) -> Log:
    """Read a folder, or the ratings file in it. Titles come from u.item, movies.dat or movies.csv.

    Raises:
        DataError: if the folder holds no ratings file, or a line is malformed.
        MissingExtraError: if polars is not installed.
    """
    ratings = _find(path)
    table = _open(ratings, options)
    part = read_text_table(table, resolve(table.columns, options, str(ratings)))
    beside = ((ratings.parent / name, separator) for name, separator in _TITLES.items())
    titles = next((read_titles(file, separator) for file, separator in beside if file.is_file()), {})
    return join([("train", part)], titles)


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    found = [path / name for name in RATINGS if (path / name).is_file()]
    if not found:
        raise DataError(f"{path} is no MovieLens folder: looked for {', '.join(RATINGS)}")
    return found[0]


def _open(ratings: Path, options: DataOptions) -> TextTable:
    first = first_line(ratings)
    separator = next((s for s in ("::", "\t") if s in first), None)
    if separator is None or ratings.suffix == ".csv":
        return open_table(ratings, options)
    n_columns = len(first.split(separator))
    if not 2 <= n_columns <= len(_COLUMNS):
        raise DataError(
            f"{ratings}, line 1: {n_columns} fields, where a MovieLens file has user, item, rating "
            "and timestamp; choose another --format"
        )
    return TextTable(ratings, _COLUMNS[:n_columns], separator, has_header=False, quoted=False)
