"""Entropy coding of columns and values: asymmetric numeral systems (Duda 2013) with fixed tables, in lanes.

Rows are split into lanes that are coded apart, so that a decoder works on many at once. A symbol's table is
chosen by the column before it in its row: columns that come together are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError

#: Frequencies of one table add up to 2 to this power.
SCALE_BITS = 12
SCALE = 1 << SCALE_BITS
#: A lane's state is at least this between two symbols. Encoding begins and decoding ends with it.
STATE = 1 << 16
_LANE_ENTRIES = 2048
_MAX_LANES = 1024


@dataclass(frozen=True, eq=False)
class Gaps:
    """How the columns of rows become symbols.

    A column is stored as the number of columns left out since the one before it in its row (or since the
    beginning): a *gap*. Its ``low_bits`` lowest bits are stored apart, as they are; the rest is the symbol.
    The table of a symbol is ``(column before + 1) >> shift``, 0 for the first column of a row.

    Attributes:
        low_bits: 0 up to 256 columns; else as many as make symbols bytes.
        shift: at least ``low_bits``, so that there are at most 256 tables.
    """

    low_bits: int
    shift: int

    def tables(self, dim: int) -> int:
        """Number of tables for ``dim`` columns."""
        return ((dim - 1) >> self.shift) + 1


def low_bits(dim: int) -> int:
    """Bits of a gap that are stored as they are."""
    return max(0, (dim - 1).bit_length() - 8)


def lane_starts(indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """First entry of each lane, and the number of entries: int64[lanes + 1].

    Lanes have about 2,048 entries each; there are at most 1,024. A lane ends with a row.
    """
    entries = int(indptr[-1])
    lanes = min(max(entries // _LANE_ENTRIES, 1), _MAX_LANES)
    first_rows = np.searchsorted(indptr, np.arange(lanes) * entries // lanes)
    starts: NDArray[np.int64] = np.append(indptr[first_rows], entries)
    return starts


def fit_tables(
    symbols: NDArray[np.uint8], table: NDArray[Any], tables: int, width: int
) -> NDArray[np.uint16]:
    """Frequencies uint16[tables, width] that add up to 4,096 in each table that is used, else to 0."""
    counts = np.bincount(table.astype(np.int64) * width + symbols, minlength=tables * width).reshape(
        tables, width
    )
    total = counts.sum(axis=1, keepdims=True)
    frequencies = np.where(counts > 0, np.maximum(counts * SCALE // np.maximum(total, 1), 1), 0)
    for row in np.flatnonzero(total):
        missing = SCALE - int(frequencies[row].sum())
        if missing > 0:
            frequencies[row, counts[row].argmax()] += missing
        for _ in range(-missing):
            frequencies[row, frequencies[row].argmax()] -= 1
    return frequencies.astype(np.uint16)


def gap_symbols(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], gaps: Gaps
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """For each entry: its symbol, the low bits of its gap, and its table."""
    before = np.roll(columns, 1).astype(np.int64)
    before[indptr[:-1][np.diff(indptr) > 0]] = -1
    gap = columns - before - 1
    symbols = (gap >> gaps.low_bits).astype(np.uint8)
    low = (gap & ((1 << gaps.low_bits) - 1)).astype(np.uint8)
    return symbols, low, (before + 1) >> gaps.shift


def encode(
    symbols: NDArray[np.uint8],
    table: NDArray[np.int64],
    frequencies: NDArray[np.uint16],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Words of all lanes behind one another, and the number of words of each.

    The first two words of a lane are its state, low half first; the others follow in the order of reading.
    """
    frequency = frequencies.astype(np.int64)
    below = np.cumsum(frequency, axis=1) - frequency
    counts = np.diff(starts)
    lanes, most = len(counts), int(counts.max(initial=0))
    state = np.full(lanes, STATE, np.int64)
    words = np.zeros((lanes, most + 2), np.uint16)
    used = np.zeros(lanes, np.int64)
    for step in range(most - 1, -1, -1):
        lane = np.flatnonzero(step < counts)
        entry = starts[lane] + step
        f, b = frequency[table[entry], symbols[entry]], below[table[entry], symbols[entry]]
        x = state[lane]
        full = x >= f << (32 - SCALE_BITS)
        spilling = lane[full]
        words[spilling, used[spilling]] = x[full] & 0xFFFF
        used[spilling] += 1
        x = np.where(full, x >> 16, x)
        state[lane] = (x // f << SCALE_BITS) + x % f + b
    every = np.arange(lanes)
    words[every, used] = state >> 16
    words[every, used + 1] = state & 0xFFFF
    used += 2
    # A lane is written backwards and read forwards.
    kept = np.arange(most + 2) >= most + 2 - used[:, None]
    return words[:, ::-1][kept], used


def decode(
    words: memoryview,
    lane_words: NDArray[np.uint32],
    frequencies: NDArray[np.uint16],
    indptr: NDArray[np.int64],
    limit: int,
    gaps: Gaps | None = None,
    low: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint16]:
    """Symbols of all entries in one table, or, with ``gaps``, the columns; in C.

    Args:
        words: of all lanes.
        lane_words: number of words of each lane.
        frequencies: [tables, symbols].
        indptr: rows, int64[n + 1].
        limit: all results are below it.
        gaps: how columns became symbols; None where the symbols themselves are wanted.
        low: the low bits of the gaps, one for each entry; needed with ``gaps.low_bits`` only.

    Raises:
        PackedFileError: ``words`` if tables and words are not those of as many symbols.
    """
    from sparsedevice.runtime import _core

    result = np.empty(int(indptr[-1]), "<u2")
    sound = _core.decode_lanes(
        words,
        np.ascontiguousarray(lane_words, "<u4"),
        np.diff(indptr).astype("<u2"),
        np.ascontiguousarray(frequencies, "<u2"),
        b"" if low is None else low,
        result,
        frequencies.shape[1],
        limit,
        gaps is not None,
        0 if gaps is None else gaps.shift,
        0 if gaps is None else gaps.low_bits,
    )
    if not sound:
        raise PackedFileError("words", "the coded columns or values are damaged")
    return result
