"""Reader of libfm files of click logs: ``label index:value index:value …`` a line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.clicks import CategoryColumn, ClickLog
from sparsedevice.data.text_table import open_bytes
from sparsedevice.errors import DataError

LABELS = {"1": 1, "+1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": 0, "-1.0": 0}


def read_libfm(path: Path) -> ClickLog:
    """Read a file whose lines all list the same fields in the same order.

    libfm names no fields: the n-th pair of each line is taken as field n. A field whose index never changes
    and whose value does is a number; every other field is a category, with the value 1.

    Raises:
        DataError: at the first malformed line: label, pair, number of pairs, or a value where a 1 must be.
    """
    labels: list[int] = []
    indices: list[list[str]] = []
    values: list[list[float]] = []
    lines: list[int] = []
    with open_bytes(path) as file:
        for number, raw in enumerate(file, start=1):
            text = raw.decode("utf-8", errors="replace").split("#")[0].split()
            if not text:
                continue
            labels.append(_label(path, number, text[0]))
            pairs = [_pair(path, number, pair) for pair in text[1:]]
            if not pairs or (indices and len(pairs) != len(indices[0])):
                expected = (
                    f"{len(indices[0])} pairs as on line {lines[0]}" if indices else "index:value pairs"
                )
                raise DataError(
                    f"{path}, line {number}: {len(pairs)} pairs where {expected} are expected; "
                    "each line must list the same fields in the same order"
                )
            indices.append([index for index, _ in pairs])
            values.append([value for _, value in pairs])
            lines.append(number)
    if not labels:
        raise DataError(f"{path} is empty; give a file with one 'label index:value …' a line")
    return _assemble(path, labels, indices, np.array(values), lines)


def _assemble(
    path: Path, labels: list[int], indices: list[list[str]], values: NDArray[np.float64], lines: list[int]
) -> ClickLog:
    categories, names, numbers = [], [], []
    for place, column in enumerate(zip(*indices, strict=True)):
        rows: dict[str, int] = {}
        index = np.fromiter((rows.setdefault(one, len(rows)) for one in column), np.int32, len(column))
        value = values[:, place]
        if len(rows) == 1 and (value != value[0]).any():
            names.append(f"feature {column[0]}")
            numbers.append(value)
            continue
        other = np.flatnonzero(value != 1)
        if other.size:
            bad = int(other[0])
            raise DataError(
                f"{path}, line {lines[bad]}: pair {place + 1} is {column[bad]}:{value[bad]:g}, but a field "
                "of several indices is a category, whose value must be 1"
            )
        categories.append(CategoryColumn(f"field {place + 1}", index[:, None], list(rows)))
    table = np.stack(numbers, axis=1) if numbers else np.zeros((len(labels), 0))
    return ClickLog(np.array(labels, np.uint8), tuple(categories), tuple(names), table)


def _label(path: Path, number: int, text: str) -> int:
    try:
        return LABELS[text]
    except KeyError:
        raise DataError(
            f"{path}, line {number}: label {text!r} is not binary; a label is 1, or 0 or -1"
        ) from None


def _pair(path: Path, number: int, text: str) -> tuple[str, float]:
    index, colon, value = text.partition(":")
    try:
        parsed = float(value) if colon and index.isdecimal() else math.nan
    except ValueError:
        parsed = math.nan
    if not math.isfinite(parsed):
        raise DataError(
            f"{path}, line {number}: {text[:60]!r} is not index:value with a whole index and a number"
        )
    return index, parsed
