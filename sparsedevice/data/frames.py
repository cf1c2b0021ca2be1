"""From polars frames to a log: ids become rows, ratings and times numbers, a bad value an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.columns import ColumnNames
from sparsedevice.data.interactions import Interactions, number
from sparsedevice.data.log import PARTS, Log, PartName
from sparsedevice.data.text_table import TextTable
from sparsedevice.errors import DataError
from sparsedevice.extras import require
from sparsedevice.vocabulary import Vocabulary

if TYPE_CHECKING:
    import polars as pl

_MICRO = 1_000_000
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%:z")


@dataclass(frozen=True, eq=False)
class Part:
    """One file's interactions, and the titles that stand beside them, by item id."""

    interactions: Interactions
    titles: dict[str, str]
    path: Path


def read_text_table(table: TextTable, names: ColumnNames) -> Part:
    """Read a text table.

    Raises:
        DataError: at the first line with a wrong number of fields, an empty id, or a bad rating or time.
    """
    polars = require("polars", extra="train")
    try:
        frame = table.scan()
        # An empty last field may be a line that is too short: polars does not tell.
        short = polars.col(table.columns[-1]).str.strip_chars() == ""
        return _read(frame, names, table.path, short, lambda bad: _raise_at_line(table, names, bad))
    except polars.exceptions.NoDataError:
        raise _no_interactions(table.path) from None
    except polars.exceptions.PolarsError as error:
        table.check_shape()
        raise DataError(f"cannot read {table.path}: {str(error).splitlines()[0]}") from error


def read_parquet(path: Path, choose: Callable[[Sequence[str]], ColumnNames]) -> Part:
    """Read a Parquet file; ``choose`` picks the columns from their names.

    Raises:
        DataError: if the file is not Parquet, or a row has an empty id, or a bad rating or time.
    """
    polars = require("polars", extra="train")
    try:
        frame = polars.scan_parquet(path)
        schema = frame.collect_schema()
        names = choose(schema.names())
        time = names.timestamp
        if time is not None and schema[time] in (polars.Date, polars.Datetime):
            frame = frame.with_columns(
                polars.col(time).cast(polars.Datetime("us")).dt.timestamp("us") // _MICRO
            )
        wanted = list(dict.fromkeys(name for name in vars(names).values() if name is not None))
        # As text, so that one path parses and checks every kind of file.
        frame = frame.select(polars.col(wanted).cast(polars.String).fill_null(""))
        return _read(frame, names, path, polars.lit(False), lambda bad: _raise_at_row(path, bad))
    except polars.exceptions.PolarsError as error:
        raise DataError(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}") from error


def join(parts: Sequence[tuple[PartName, Part]], extra_titles: dict[str, str] | None = None) -> Log:
    """One log of one or several files; titles from the files come before ``extra_titles``.

    Ratings and times are kept where every part has them.
    """
    titles = dict(extra_titles or {})
    for _, part in reversed(parts):
        titles.update(part.titles)
    logs = [part.interactions for _, part in parts]
    user_index, user_ids = _merge([(log.user_index, log.user_ids) for log in logs])
    item_index, item_ids = _merge([(log.item_index, log.item_ids) for log in logs])
    ratings = [log.rating for log in logs if log.rating is not None]
    times = [log.timestamp for log in logs if log.timestamp is not None]
    interactions = Interactions(
        user_index,
        item_index,
        user_ids,
        item_ids,
        np.concatenate(ratings) if len(ratings) == len(logs) else None,
        np.concatenate(times) if len(times) == len(logs) else None,
        [titles.get(id_, "") for id_ in item_ids.ids] if titles else None,
    )
    numbers = np.repeat(
        np.array([PARTS.index(name) for name, _ in parts], dtype=np.int8), [len(log) for log in logs]
    )
    return Log(interactions, numbers if len(parts) > 1 else None, tuple(part.path.name for _, part in parts))


def _merge(columns: list[tuple[NDArray[np.int32], Vocabulary]]) -> tuple[NDArray[np.int32], Vocabulary]:
    if len(columns) == 1:
        return columns[0]
    rows, ids = number(id_ for _, vocabulary in columns for id_ in vocabulary.ids)
    starts = np.cumsum([0, *(len(vocabulary) for _, vocabulary in columns)])
    return np.concatenate(
        [rows[start + index] for start, (index, _) in zip(starts, columns, strict=False)]
    ), ids


def _read(
    frame: pl.LazyFrame,
    names: ColumnNames,
    path: Path,
    short: pl.Expr,
    raise_first: Callable[[dict[str, pl.LazyFrame]], None],
) -> Part:
    """Parse a frame of texts.

    ``short`` marks rows whose line should be looked at again. ``raise_first`` gets, by kind, the row and
    value of what is bad, and raises DataError; where it returns, the suspect rows were blank lines.
    """
    polars = require("polars", extra="train")
    raw = {kind: polars.col(name).str.strip_chars() for kind, name in vars(names).items() if name is not None}
    parsed = {"user": raw["user"].cast(polars.Categorical), "item": raw["item"].cast(polars.Categorical)}
    bad = {"user": raw["user"] == "", "item": raw["item"] == ""}
    if "rating" in raw:
        parsed["rating"] = raw["rating"].cast(polars.Float32, strict=False)
        bad["rating"] = ~parsed["rating"].is_finite().fill_null(False)
    if "timestamp" in raw:
        parsed["timestamp"] = _parse_time(frame, raw["timestamp"])
        bad["timestamp"] = parsed["timestamp"].is_null()
    suspect = polars.any_horizontal(short, *bad.values())
    data = frame.select(**parsed, suspect=suspect).collect(engine="streaming")
    if data["suspect"].any():
        numbered = frame.with_row_index("row number")
        raise_first(
            {
                kind: numbered.filter(is_bad).select("row number", value=raw[kind])
                for kind, is_bad in bad.items()
            }
        )
        data = data.filter(polars.col("user").cast(polars.String) != "")
    if data.height == 0:
        raise _no_interactions(path)
    user_index, user_ids = _number(data["user"])
    item_index, item_ids = _number(data["item"])
    interactions = Interactions(
        user_index,
        item_index,
        user_ids,
        item_ids,
        data["rating"].to_numpy() if "rating" in raw else None,
        data["timestamp"].to_numpy() if "timestamp" in raw else None,
    )
    return Part(interactions, _titles(frame, raw["item"], raw["title"]) if "title" in raw else {}, path)


def _parse_time(frame: pl.LazyFrame, raw: pl.Expr) -> pl.Expr:
    """Int64 from numbers (cut to whole ones) or ISO dates, as the first value has it; null where neither."""
    polars = require("polars", extra="train")
    first = frame.select(time=raw).filter(polars.col("time") != "").head(1).collect()
    if (
        first.height == 0
        or first.select(polars.col("time").cast(polars.Float64, strict=False)).item() is not None
    ):
        whole = raw.cast(polars.Int64, strict=False)
        rounded = raw.cast(polars.Float64, strict=False).floor().cast(polars.Int64, strict=False)
        return cast("pl.Expr", polars.coalesce(whole, rounded))
    text = raw.str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
    moments = [
        text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC" if "%:z" in form else None)
        .dt.timestamp("us")
        .floordiv(_MICRO)
        for form in _DATE_FORMATS
    ]
    return cast("pl.Expr", polars.coalesce(moments))


def _raise_at_line(table: TextTable, names: ColumnNames, bad: dict[str, pl.LazyFrame]) -> None:
    """Read the file again, by lines, up to the first that is wrong; return where only blank lines were."""
    polars = require("polars", extra="train")
    values = {}
    for kind, rows in bad.items():
        first = rows.filter(polars.col("value") != "").head(1).collect()
        values[kind] = first["value"][0] if first.height else ""
    place = {kind: table.columns.index(vars(names)[kind]) for kind in bad}
    for line, fields in table.records():
        table.check_fields(line, fields)
        for kind, wrong in values.items():
            value = fields[place[kind]].strip()
            if value in ("", wrong):
                raise _bad_value(f"{table.path}, line {line}", kind, value)
    for kind, wrong in values.items():
        if wrong:
            raise _bad_value(str(table.path), kind, wrong)


def _raise_at_row(path: Path, bad: dict[str, pl.LazyFrame]) -> None:
    firsts = [(kind, rows.head(1).collect()) for kind, rows in bad.items()]
    row, value, kind = min((*first.row(0), kind) for kind, first in firsts if first.height)
    raise _bad_value(f"{path}, row {row + 1}", kind, value)


def _no_interactions(path: Path) -> DataError:
    return DataError(f"{path} holds no interactions; give one per line below the header")


def _bad_value(where: str, kind: str, value: str) -> DataError:
    if kind in ("user", "item"):
        return DataError(f"{where}: the {kind} is empty; give an id or drop the line")
    wanted = "a number" if kind == "rating" else "a whole number or an ISO date"
    return DataError(
        f"{where}: {kind} {value!r} is not {wanted}; mend it, or leave the column out with --{kind}-column -"
    )


def _number(ids: pl.Series) -> tuple[NDArray[np.int32], Vocabulary]:
    """Rows in the order of first appearance; a Categorical's own codes come in any order."""
    codes = ids.to_physical().to_numpy()
    distinct = ids.unique(maintain_order=True)
    row = np.zeros(int(codes.max()) + 1, dtype=np.int32)
    row[distinct.to_physical().to_numpy()] = np.arange(len(distinct), dtype=np.int32)
    return row[codes], Vocabulary(distinct.cast(str).to_list())


def _titles(frame: pl.LazyFrame, item: pl.Expr, title: pl.Expr) -> dict[str, str]:
    """The first title that is not empty of each item."""
    pairs = frame.select(item=item, title=title).filter(title != "")
    first = pairs.unique(subset="item", keep="first", maintain_order=True).collect()
    return dict(first.rows())
