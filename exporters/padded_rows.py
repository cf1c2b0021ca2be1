"""Rows in blocks of one width, for graphs of standard operators that score a block at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import TargetError
from sparsedevice.packing.quantize import Rows

#: Rows of a block: the hidden units of so many rows are held at one time.
BLOCK_ROWS = 1024
#: What is stored may be so many times the table's entries; beyond that a dense table is near.
MOST_PADDING = 4


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """Rows in blocks, each padded to the longest (column 0, value 0).

    Attributes:
        n_rows: rows without those of padding, which come last.
        columns: uint8 or uint16 [blocks, block_rows, width].
        values: float32, float16 or int8 [blocks, block_rows, width].
        scales: float32[blocks, block_rows], 1 for rows of padding.
    """

    n_rows: int
    columns: NDArray[np.uint8] | NDArray[np.uint16]
    values: NDArray[Any]
    scales: NDArray[np.float32]


def padded_rows(n_rows: int) -> int:
    """Rows of all blocks, those of padding at the end included."""
    block_rows = min(BLOCK_ROWS, n_rows)
    return -(-n_rows // block_rows) * block_rows


def pad_rows(rows: Rows, target: str) -> PaddedRows:
    """Lay rows out in blocks.

    Args:
        rows: a table.
        target: for the error.

    Raises:
        TargetError: if one row is so much longer than the others that padding to it makes the table more
            than ``MOST_PADDING`` times as large.
    """
    lengths = np.diff(rows.indptr)
    n, width = len(lengths), max(1, int(lengths.max()))
    if width * n > MOST_PADDING * max(n, len(rows.values)):
        raise TargetError(
            f"target {target!r} pads the rows of a model with a network to the longest: {width} of"
            f" {rows.dim} entries where rows have {lengths.mean():.1f}, which makes the table"
            f" {width * n / len(rows.values):.1f} times as large, above the limit of {MOST_PADDING};"
            " train with --fan-in fixed"
        )
    total = padded_rows(n)
    columns = np.zeros((total, width), np.uint8 if rows.dim <= 256 else np.uint16)
    values = np.zeros(columns.shape, rows.values.dtype)
    scales = np.ones(total, np.float32)
    owner = np.repeat(np.arange(n), lengths)
    place = np.arange(len(owner)) - rows.indptr[:-1][owner]
    columns[owner, place], values[owner, place] = rows.columns, rows.values
    scales[:n] = rows.scales
    shape = (-1, min(BLOCK_ROWS, n), width)
    return PaddedRows(n, columns.reshape(shape), values.reshape(shape), scales.reshape(shape[:2]))
