"""Reader of click logs in CSV and TSV files: a label, categories and numbers."""

from __future__ import annotations

import csv
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import CategoryColumn, ClickLog
from sparsedevice.data.libfm import LABELS
from sparsedevice.data.text_table import TextTable, first_line
from sparsedevice.errors import DataError
from sparsedevice.extras import require

if TYPE_CHECKING:
    import polars as pl

_LABEL_NAMES = ("label", "click", "clicked", "is_click", "isclick", "target", "y")
# The layout of the Criteo logs, which come without a header.
CRITEO = ("label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27)))
LIST_SEPARATOR = "|"


class Kinds(NamedTuple):
    """Names of the columns by what they hold."""

    label: str
    categories: list[str]
    lists: list[str]
    numbers: list[str]


def read_click_table(path: Path, options: ClickOptions, separator: str | None = None) -> ClickLog:
    """Read a text table of clicks.

    Columns that the options do not name are told by rule: those called I1, I2, … are numbers and C1, C2, …
    categories (as in the Criteo logs); of the others, a column is a number where all its values are numbers
    and one has a fraction, else a category (a whole number is taken as an id).

    Raises:
        DataError: if a column is missing, a line has too few or too many fields, a label is not binary, or a
            number is not one.
        MissingExtraError: if polars is not installed.
    """
    polars = require("polars", extra="train")
    table = open_click_table(path, options, separator)
    try:
        frame: pl.DataFrame = (
            table.scan().with_columns(polars.all().str.strip_chars().fill_null("")).collect()
        )
    except polars.exceptions.NoDataError:
        raise DataError(f"{path} holds a header and no rows") from None
    except polars.exceptions.PolarsError as error:
        table.check_shape()
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if (frame[table.columns[-1]] == "").any():  # perhaps a line that is too short
        table.check_shape()
        frame = frame.filter(polars.any_horizontal(polars.all() != ""))
    if frame.height == 0:
        raise DataError(f"{path} holds a header and no rows")
    kinds = _kinds(table, frame, options)
    label = frame[kinds.label].replace_strict(LABELS, default=None, return_dtype=polars.UInt8)
    if label.null_count():
        _raise_at(table, frame, kinds.label, label.is_null(), "is not binary; a label is 1, or 0 or -1")
    numbers = [_numbers(table, frame, name) for name in kinds.numbers]
    columns = [_category(frame[name], name) for name in kinds.categories]
    columns += [_list(frame[name], name) for name in kinds.lists]
    order = {name: place for place, name in enumerate(table.columns)}
    return ClickLog(
        label.to_numpy(),
        tuple(sorted(columns, key=lambda column: order[column.name])),
        tuple(kinds.numbers),
        np.stack(numbers, axis=1) if numbers else np.zeros((frame.height, 0)),
    )


def open_click_table(path: Path, options: ClickOptions, separator: str | None = None) -> TextTable:
    """Look at the first line: separator, header or none, names of the columns.

    A first line without any number is a header, and so is one that holds a name for the label. Else the
    columns are called "1", "2", …, or as in the Criteo logs where there are 40.
    """
    first = first_line(path)
    separator = options.separator or separator or max(",\t;|", key=first.count)
    fields = [field.strip() for field in next(csv.reader([first], delimiter=separator))]
    named = (options.label_column, *options.categorical, *options.numeric, *options.lists)
    is_header = (
        any(name in fields for name in named if name and not name.isdecimal())
        or any(field.lower() in _LABEL_NAMES for field in fields)
        or not any(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", field) for field in fields)
    )
    if not is_header:
        by_number = tuple(str(place + 1) for place in range(len(fields)))
        return TextTable(path, CRITEO if len(fields) == len(CRITEO) else by_number, separator, False, True)
    for place, name in enumerate(fields):
        if name in fields[:place]:
            raise DataError(f"{path}, line 1: the header has the column {name!r} twice; rename one")
    names = tuple(name or f"unnamed {place + 1}" for place, name in enumerate(fields))
    return TextTable(path, names, separator, True, True)


def _kinds(table: TextTable, frame: pl.DataFrame, options: ClickOptions) -> Kinds:
    for name in (
        options.label_column,
        *options.categorical,
        *options.numeric,
        *options.lists,
        *options.ignore,
    ):
        if name is not None and name not in table.columns:
            raise DataError(
                f"{table.path} has no column {name!r}: it has {', '.join(map(repr, table.columns))}"
            )
    label = options.label_column or _guess_label(table)
    named = {label, *options.categorical, *options.numeric, *options.lists, *options.ignore}
    kinds = Kinds(label, list(options.categorical), list(options.lists), list(options.numeric))
    for name in table.columns:
        if name not in named:
            (kinds.numbers if _is_number(frame[name], name) else kinds.categories).append(name)
    return kinds


def _guess_label(table: TextTable) -> str:
    if not table.has_header:
        return table.columns[0]
    for name in table.columns:
        if name.lower() in _LABEL_NAMES:
            return name
    raise DataError(
        f"{table.path} has no column that looks like the label: it has "
        f"{', '.join(map(repr, table.columns))}; name one with --label-column"
    )


def _is_number(series: pl.Series, name: str) -> bool:
    polars = require("polars", extra="train")
    if re.fullmatch(r"[IC]\d+", name):
        return name.startswith("I")
    texts = series.filter(series != "")
    parsed = texts.cast(polars.Float64, strict=False)
    return len(texts) > 0 and parsed.null_count() == 0 and bool(texts.str.contains(r"[.eE]").any())


def _numbers(table: TextTable, frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    polars = require("polars", extra="train")
    series = frame[name]
    parsed = series.cast(polars.Float64, strict=False)
    bad = (series != "") & ~parsed.is_finite().fill_null(False)
    if bad.any():
        _raise_at(table, frame, name, bad, "is not a number; leave it empty where it is missing")
    out: NDArray[np.float64] = parsed.fill_null(float("nan")).to_numpy()
    return out


def _category(series: pl.Series, name: str) -> CategoryColumn:
    index, values = _numbered(series)
    return CategoryColumn(name, index[:, None], values)


def _list(series: pl.Series, name: str) -> CategoryColumn:
    lists = series.str.split(LIST_SEPARATOR)
    lengths = lists.list.len().to_numpy().astype(np.int64)
    flat, values = _numbered(lists.explode())
    index = np.full((len(lengths), int(lengths.max())), -1, np.int32)
    index[np.arange(index.shape[1]) < lengths[:, None]] = flat
    return CategoryColumn(name, index, values)


def _numbered(series: pl.Series) -> tuple[NDArray[np.int32], list[str]]:
    polars = require("polars", extra="train")
    values = series.unique(maintain_order=True)
    return series.cast(polars.Enum(values)).to_physical().to_numpy().astype(np.int32), values.to_list()


def _raise_at(table: TextTable, frame: pl.DataFrame, name: str, bad: pl.Series, problem: str) -> NoReturn:
    row = int(bad.arg_true()[0])
    line, _ = next(islice(table.records(), row, None))
    raise DataError(f"{table.path}, line {line}: {name} {frame[name][row]!r} {problem}")
