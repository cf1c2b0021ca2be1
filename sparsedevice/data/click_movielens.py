"""MovieLens ratings as clicks: a high rating is one; users and movies come with their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import CategoryColumn, ClickLog
from sparsedevice.data.movielens import read_movielens
from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError
from sparsedevice.vocabulary import Vocabulary

_USER_FEATURES = ("gender", "age", "occupation", "zip")


def read_movielens_clicks(path: Path, options: ClickOptions) -> ClickLog:
    """Read a folder in the layout of MovieLens 1M: ratings, ``users.dat`` and ``movies.dat``.

    The label is 1 where the rating is at least ``options.positive_rating``. Categories: user, item, the
    user's gender, age group, occupation and zip code, and the movie's genres (up to six a movie).

    Raises:
        DataError: if a file is missing, a line is malformed, or a user or movie has no features.
        MissingExtraError: if polars is not installed.
    """
    log = read_movielens(path, DataOptions()).interactions
    if log.rating is None:
        raise DataError(f"{path} holds no ratings; clicks are ratings of {options.positive_rating:g} or more")
    folder = path if path.is_dir() else path.parent
    columns = [
        CategoryColumn("user", log.user_index[:, None], log.user_ids.ids),
        CategoryColumn("item", log.item_index[:, None], log.item_ids.ids),
    ]
    users = _features(folder / "users.dat", log.user_ids, 1 + len(_USER_FEATURES), "user")
    for place, name in enumerate(_USER_FEATURES):
        index, values = _lists([[fields[place + 1]] for fields in users])
        columns.append(CategoryColumn(name, index[log.user_index], values))
    movies = _features(folder / "movies.dat", log.item_ids, 3, "movie")
    index, values = _lists([fields[2].split("|") for fields in movies])
    columns.append(CategoryColumn("genres", index[log.item_index], values))
    label = (log.rating >= options.positive_rating).astype(np.uint8)
    return ClickLog(label, tuple(columns), (), np.zeros((len(label), 0)))


def _features(path: Path, ids: Vocabulary, n_fields: int, kind: str) -> list[list[str]]:
    """Fields of each id's line, in the order of the ids."""
    try:
        text = path.read_text(encoding="iso-8859-1")
    except OSError as error:
        raise DataError(f"cannot read {path}, which holds the {kind}s' features: {error.strerror}") from error
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("::")
        if line.strip() and len(fields) != n_fields:
            raise DataError(
                f"{path}, line {number}: {len(fields)} fields where {n_fields} are expected: {line!r}"
            )
        found[fields[0]] = fields
    for id_ in ids.ids:
        if id_ not in found:
            raise DataError(f"{path} has no line for {kind} {id_!r}, whose ratings are there; add it")
    return [found[id_] for id_ in ids.ids]


def _lists(lists: list[list[str]]) -> tuple[NDArray[np.int32], list[str]]:
    rows: dict[str, int] = {}
    index = np.full((len(lists), max(map(len, lists))), -1, np.int32)
    for place, values in enumerate(lists):
        index[place, : len(values)] = [rows.setdefault(value, len(rows)) for value in values]
    return index, list(rows)
