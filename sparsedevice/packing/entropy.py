"""Entropy coding of columns and values: prefix codes (Huffman 1952) in eight streams.

A decoder works on all streams at once, so that the look-up of one symbol does not wait for another's. A
column's table is chosen by the column before it in its row: columns that come together are cheap.
Codes of limited length: package-merge (Larmore and Hirschberg, 1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError

#: Bits of the longest code.
CODE_BITS = 9
#: "Length" of the code of a table's only symbol, which takes no bits.
ONLY_SYMBOL = 15
#: Row r is in stream r % 8, and so is the r-th byte.
STREAMS = 8
#: Zeros behind all streams, so that a decoder may read eight bytes from any of theirs on.
SLACK = 8
_PART = 1 << 16


@dataclass(frozen=True, eq=False)
class Gaps:
    """How the columns of rows become symbols.

    A column is stored as the number of columns left out since the one before it in its row (or since the
    beginning): a *gap*. Its ``low_bits`` lowest bits follow the code of the rest, which is the symbol.
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

    def symbols(self, dim: int) -> int:
        """Number of symbols for ``dim`` columns."""
        return ((dim - 1) >> self.low_bits) + 1


@dataclass(frozen=True, eq=False)
class Coded:
    """Coded symbols.

    Attributes:
        streams: behind one another.
        stream_bytes: uint32[8], of each.
        code_lengths: uint8[tables, symbols]: 0 (not used) to 9, or 15.
    """

    streams: bytes | memoryview
    stream_bytes: NDArray[np.uint32]
    code_lengths: NDArray[np.uint8]


def low_bits(dim: int) -> int:
    """Bits of a gap that are stored as they are."""
    return max(0, (dim - 1).bit_length() - 8)


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


def symbol_counts(
    symbols: NDArray[np.uint8], table: NDArray[np.int64], tables: int, width: int
) -> NDArray[np.int64]:
    """How often each symbol stands in each table: int64[tables, width]."""
    return np.bincount(table * width + symbols, minlength=tables * width).reshape(tables, width)


def fit_codes(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Lengths of the codes that take the fewest bits, of at most 9, for each table: as ``counts``."""
    return np.stack([_code_lengths(row) for row in counts])


def _code_lengths(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    lengths = np.zeros(len(counts), np.uint8)
    used = np.flatnonzero(counts)
    used = used[np.argsort(counts[used], kind="stable")]
    if len(used) < 2:
        lengths[used] = ONLY_SYMBOL
        return lengths
    # Of each length, the longest first: the symbols (True) and pairs of what is below, by weight.
    weights = counts[used]
    levels: list[NDArray[np.bool_]] = []
    pairs = weights[:0]
    for _ in range(CODE_BITS):
        both = np.concatenate((weights, pairs))
        order = np.argsort(both, kind="stable")
        levels.append(order < len(weights))
        merged = both[order]
        pairs = merged[: len(merged) // 2 * 2].reshape(-1, 2).sum(axis=1)
    taken = 2 * len(used) - 2
    for level in reversed(levels):
        symbols = int(level[:taken].sum())
        lengths[used[:symbols]] += 1
        taken = 2 * (taken - symbols)
    return lengths


def _codes(code_lengths: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The canonical codes: shorter ones first, equally long ones in the order of their symbols."""
    codes = np.zeros(code_lengths.shape, np.int64)
    for lengths, row in zip(code_lengths, codes, strict=True):
        order = np.argsort(lengths, kind="stable")
        order = order[(lengths[order] > 0) & (lengths[order] <= CODE_BITS)]
        slots = 1 << (CODE_BITS - lengths[order].astype(np.int64))
        row[order] = (np.cumsum(slots) - slots) // slots
    return codes


def coded_bits(counts: NDArray[np.int64], code_lengths: NDArray[np.uint8]) -> int:
    """Bits that the codes of so many symbols take."""
    return int((counts * np.where(code_lengths == ONLY_SYMBOL, 0, code_lengths)).sum())


def encode_columns(
    symbols: NDArray[np.uint8],
    low: NDArray[np.uint8],
    table: NDArray[np.int64],
    gaps: Gaps,
    code_lengths: NDArray[np.uint8],
    indptr: NDArray[np.int64],
) -> Coded:
    """The streams of what :func:`gap_symbols` gave."""
    widths = code_lengths[table, symbols].astype(np.int64)
    widths[widths == ONLY_SYMBOL] = 0
    codes = _codes(code_lengths)[table, symbols] << gaps.low_bits | low
    row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return _coded(codes, widths + gaps.low_bits, row % STREAMS, code_lengths)


def encode_bytes(data: NDArray[np.uint8]) -> Coded:
    """The streams of any bytes, with the codes that fit them best."""
    code_lengths = fit_codes(np.bincount(data, minlength=256)[None])
    widths = code_lengths[0, data].astype(np.int64)
    widths[widths == ONLY_SYMBOL] = 0
    return _coded(_codes(code_lengths)[0, data], widths, np.arange(len(data)) % STREAMS, code_lengths)


def _coded(
    codes: NDArray[np.int64],
    widths: NDArray[np.int64],
    stream: NDArray[np.int64],
    code_lengths: NDArray[np.uint8],
) -> Coded:
    streams = []
    for i in range(STREAMS):
        own = stream == i
        streams.append(_pack(codes[own], widths[own]))
    sizes = np.array([len(bits) for bits in streams], np.uint32)
    return Coded(b"".join(streams), sizes, code_lengths)


def _pack(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> bytes:
    """Codes behind one another, the highest bit of each first, in the highest bits of bytes first."""
    if not len(codes):
        return b""
    places = np.arange(int(widths.max()))
    parts = []
    for begin in range(0, len(codes), _PART):
        code, width = codes[begin : begin + _PART, None], widths[begin : begin + _PART, None]
        there = places < width
        parts.append((code >> np.maximum(width - 1 - places, 0) & 1).astype(np.uint8)[there])
    return np.packbits(np.concatenate(parts)).tobytes()


def decode_columns(coded: Coded, indptr: NDArray[np.int64], dim: int, gaps: Gaps) -> NDArray[Any]:
    """The columns of rows, uint8 up to 256 columns, else uint16; in C.

    Args:
        coded: its streams are followed by at least 8 bytes.
        indptr: rows, int64[n + 1].
        dim: all columns are below it.
        gaps: how columns became symbols.

    Raises:
        PackedFileError: ``streams`` if tables and streams are not those of as many symbols.
    """
    from sparsedevice.runtime import _core

    columns = np.empty(int(indptr[-1]), np.uint8 if dim <= 256 else "<u2")
    sound = _core.decode_columns(
        coded.streams,
        np.ascontiguousarray(coded.stream_bytes, "<u4"),
        np.ascontiguousarray(coded.code_lengths),
        columns,
        np.diff(indptr).astype("<u2"),
        coded.code_lengths.shape[1],
        dim,
        gaps.shift,
        gaps.low_bits,
    )
    if not sound:
        raise PackedFileError("streams", "the coded columns are damaged")
    return columns


def decode_bytes(coded: Coded, count: int) -> NDArray[np.uint8]:
    """So many bytes that :func:`encode_bytes` coded; in C. The streams are followed by at least 8 bytes.

    Raises:
        PackedFileError: ``streams`` if tables and streams are not those of as many bytes.
    """
    from sparsedevice.runtime import _core

    data = np.empty(count, np.uint8)
    sizes = np.ascontiguousarray(coded.stream_bytes, "<u4")
    if not _core.decode_bytes(coded.streams, sizes, np.ascontiguousarray(coded.code_lengths), data):
        raise PackedFileError("streams", "the coded values are damaged")
    return data
