"""The two parts of a compact file: a body that deflate shrinks, and the words of the entropy coder.

Layout: docs/compact.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.content import (
    Content,
    Lists,
    bits_of,
    derived_scales,
    least_bytes,
    put_head,
    put_symbols,
    scales_follow,
    take_head,
    take_symbols,
)
from sparsedevice.packing.entropy import (
    SCALE,
    Gaps,
    decode,
    encode,
    fit_tables,
    gap_symbols,
    lane_starts,
    low_bits,
)
from sparsedevice.packing.fold_in import RULE_BYTES, tower_numbers
from sparsedevice.packing.format import Header, Kind
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.streams import Sink, Source, deflate
from sparsedevice.packing.symbols import MAX_SYMBOL_BYTES

_FRONT_CODED, _DECIMAL = 0, 1
_MAX_SHARED = 255
# Follows each string; no UTF-8 holds this byte.
_END = b"\xff"
# Decimal ids up to here can be numbers; the difference of two then fits eight bytes.
_MAX_DIGITS = 18


def write_parts(content: Content) -> tuple[bytes, bytes]:
    """Body and words of a compact file with this content."""
    sink, words = Sink(), Sink()
    put_head(sink, content)
    _put_rows(sink, words, content.items, content.header)
    if content.users is not None:
        _put_rows(sink, words, content.users, content.header)
    for kind, strings in sorted(content.strings.items()):
        _put_strings(sink, strings, is_id=kind is not Kind.TITLE_POINTERS)
        sink.number(int(kind in content.symbols))
        if kind in content.symbols:
            put_symbols(sink, content.symbols[kind])
    if content.seen is not None:
        sink.planes(content.seen.lengths, 4)
        first = np.zeros(len(content.seen.data) + 1, bool)
        first[content.seen.pointers[:-1]] = True
        row = content.seen.data.astype(np.int64)
        sink.planes(row - np.where(first[:-1], -1, np.roll(row, 1)) - 1, 4)
    for array in (content.weights, content.matrix):
        if array is not None:
            sink.planes(array, 4)
    if content.metadata is not None:
        sink.number(len(content.metadata))
        sink.raw(content.metadata)
    if content.rule is not None:
        sink.raw(content.rule)
    if content.tower is not None:
        sink.planes(content.tower, 4)
    return sink.data(), words.data()


def read_parts(body: bytes, words: memoryview, result_bytes: int) -> Content:
    """What a compact file says.

    Args:
        body: after inflating.
        words: of the entropy coder.
        result_bytes: size of the packed file; no array is made that would not fit it.

    Raises:
        PackedFileError: ``body`` or ``words`` if one of the two is not well formed.
    """
    source, coded = Source(body), Source(words)
    header, parts = take_head(source)
    items = _take_rows(source, coded, header.n_items, header, result_bytes)
    users = _take_rows(source, coded, header.n_users, header, result_bytes) if header.n_users else None
    strings, symbols = {}, {}
    for kind in parts.string_kinds(header):
        n = header.n_users if kind is Kind.USER_ID_POINTERS else header.n_items
        strings[kind] = _take_strings(source, n, result_bytes)
        if source.number():
            symbols[kind] = take_symbols(source)
    seen = _take_seen(source, header) if parts.seen else None
    weights = source.planes(header.n_items, 4) if parts.weights else None
    matrix = source.planes(header.dim * header.dim, 4) if parts.matrix else None
    metadata = bytes(source.raw(source.number())) if parts.metadata else None
    rule = bytes(source.raw(RULE_BYTES)) if parts.rule else None
    tower = source.planes(tower_numbers(rule, header.dim), 4) if parts.tower and rule else None
    source.end()
    coded.end()
    content = Content(header, items, users, strings, seen, weights, matrix, metadata, rule, tower, symbols)
    if least_bytes(content) > result_bytes:
        raise PackedFileError("body", f"the rows do not fit the {result_bytes} bytes that the file promises")
    return content


def _put_rows(sink: Sink, words: Sink, rows: Rows, header: Header) -> None:
    lengths = np.diff(rows.indptr)
    sink.planes(lengths, 2)
    starts = lane_starts(rows.indptr)
    gaps, symbols, low, table, frequencies = best_gaps(rows)
    sink.number(gaps.shift)
    sink.planes(frequencies, 2)
    if gaps.low_bits:
        sink.planes(low, 1)
    _put_words(sink, words, *encode(symbols, table, frequencies, starts))
    if header.values in _WIDTHS:
        width = _WIDTHS[header.values]
        symbols = rows.values.view(np.uint8) & np.uint8(width - 1)
        table = np.zeros(len(symbols), np.int64)
        frequencies = fit_tables(symbols, table, 1, width)
        sink.planes(frequencies, 2)
        _put_words(sink, words, *encode(symbols, table, frequencies, starts))
    else:
        size = rows.values.dtype.itemsize
        sink.planes(np.ascontiguousarray(rows.values).view(f"<u{size}"), size)
    follows = scales_follow(rows, header)
    sink.number(int(follows))
    if not follows:
        sink.planes(bits_of(rows.scales), 4)


# Symbols that values of a coding can be; values of other codings are stored in planes.
_WIDTHS = {"int8": 256, "int4": 16}


def _take_rows(source: Source, coded: Source, n: int, header: Header, result_bytes: int) -> Rows:
    lengths = source.planes(n, 2).astype(np.int64)
    entries = int(lengths.sum())
    if entries * header.column_bytes > result_bytes:
        raise PackedFileError("body", f"{entries} entries do not fit a file of {result_bytes} bytes")
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    bits = low_bits(header.dim)
    gaps = Gaps(bits, source.number())
    if not bits <= gaps.shift <= 12:
        raise PackedFileError("body", f"columns have the unknown coding {gaps.shift}")
    width = ((header.dim - 1) >> bits) + 1
    frequencies = _take_tables(source, gaps.tables(header.dim), width)
    low = source.planes(entries, 1) if bits else None
    coded_columns = _take_words(source, coded, indptr)
    columns = decode(*coded_columns, frequencies, indptr, header.dim, gaps, low).astype(np.int32)
    values: NDArray[Any]
    if header.values in _WIDTHS:
        width = _WIDTHS[header.values]
        frequencies = _take_tables(source, 1, width)
        symbols = decode(*_take_words(source, coded, indptr), frequencies, indptr, width)
        half = width // 2
        values = ((symbols.astype(np.int16) ^ half) - half).astype(np.int8)
    else:
        size = 4 if header.values == "f32" else 2
        values = source.planes(entries, size).view(f"<f{size}")
    rows = Rows(indptr, columns, values, np.empty(0, np.float32), header.dim)
    follows = source.number()
    scales = derived_scales(rows, header) if follows else source.planes(n, 4).view("<f4")
    if follows > 1 or scales is None:
        raise PackedFileError("body", "the scales have an unknown coding")
    return Rows(indptr, columns, values, scales, header.dim)


def best_gaps(
    rows: Rows,
) -> tuple[Gaps, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint16]]:
    """The number of tables that makes columns and tables together smallest."""
    bits = low_bits(rows.dim)
    width = ((rows.dim - 1) >> bits) + 1
    best: tuple[float, Any] | None = None
    for shift in range(bits, (rows.dim - 1).bit_length() + 1):
        gaps = Gaps(bits, shift)
        symbols, low, table = gap_symbols(rows.indptr, rows.columns, gaps)
        frequencies = fit_tables(symbols, table, gaps.tables(rows.dim), width)
        sink = Sink()
        sink.planes(frequencies, 2)
        cost = len(deflate(sink.data())) - np.log2(frequencies[table, symbols] / SCALE).sum() / 8
        if best is None or cost < best[0]:
            best = cost, (gaps, symbols, low, table, frequencies)
    if best is None:
        raise AssertionError("a table has at least one column")
    return best[1]  # type: ignore[no-any-return]


def _take_tables(source: Source, tables: int, width: int) -> NDArray[np.uint16]:
    frequencies: NDArray[np.uint16] = source.planes(tables * width, 2).reshape(tables, width)
    return frequencies


def _put_words(sink: Sink, words: Sink, coded: NDArray[np.uint16], lane_words: NDArray[np.int64]) -> None:
    sink.planes(lane_words, 4)
    words.raw(coded.astype("<u2"))


def _take_words(
    source: Source, coded: Source, indptr: NDArray[np.int64]
) -> tuple[memoryview, NDArray[np.uint32]]:
    lane_words = source.planes(len(lane_starts(indptr)) - 1, 4)
    return coded.raw(2 * int(lane_words.sum(dtype=np.int64))), lane_words


def _put_strings(sink: Sink, strings: Lists, *, is_id: bool) -> None:
    raw = strings.raw()
    if is_id and all(_is_decimal(string) for string in raw):
        sink.number(_DECIMAL)
        numbers = np.array([int(string) for string in raw], np.int64)
        difference = np.diff(numbers, prepend=0)
        sink.planes(difference << 1 ^ difference >> 63, 8)
        return
    sink.number(_FRONT_CODED)
    shared = np.fromiter((_shared(a, b) for a, b in pairwise([b"", *raw])), np.int64, len(raw))
    # Strings in no order, such as titles, deflate better whole.
    codings = [_front_coded(raw, lengths) for lengths in (shared, np.zeros_like(shared))]
    sink.raw(min(codings, key=lambda coding: len(deflate(coding))))


def _front_coded(raw: list[bytes], shared: NDArray[np.int64]) -> bytes:
    sink = Sink()
    sink.planes(shared, 1)
    ends = b"".join(string[skip:] + _END for string, skip in zip(raw, shared.tolist(), strict=True))
    sink.number(len(ends))
    sink.raw(ends)
    return sink.data()


def _take_strings(source: Source, n: int, result_bytes: int) -> Lists:
    coding = source.number()
    if coding == _DECIMAL:
        zigzag = source.planes(n, 8)
        difference = (zigzag >> np.uint64(1)).astype(np.int64) ^ -(zigzag & np.uint64(1)).astype(np.int64)
        numbers = np.cumsum(difference)
        if (numbers < 0).any():
            raise PackedFileError("body", "an id is a negative number")
        return Lists.of([b"%d" % number for number in numbers.tolist()])
    if coding != _FRONT_CODED:
        raise PackedFileError("body", f"strings have the unknown coding {coding}")
    shared = source.planes(n, 1)
    size = source.number()
    # A code has at least one bit, and stands for at most 64 bytes.
    if size + int(shared.sum(dtype=np.int64)) > 8 * MAX_SYMBOL_BYTES * result_bytes:
        raise PackedFileError("body", f"strings do not fit a file of {result_bytes} bytes")
    ends = source.raw(size).tobytes().split(_END)
    if len(ends) != n + 1 or ends[n]:
        raise PackedFileError("body", f"{len(ends) - 1} strings stand where {n} belong")
    strings, last = [], b""
    for skip, end in zip(shared.tolist(), ends[:n], strict=True):
        last = last[:skip] + end
        strings.append(last)
    return Lists.of(strings)


def _take_seen(source: Source, header: Header) -> Lists:
    lengths = source.planes(header.n_users, 4).astype(np.int64)
    pointers = np.concatenate(([0], np.cumsum(lengths)))
    steps = np.cumsum(source.planes(int(pointers[-1]), 4).astype(np.int64) + 1)
    rows = steps - np.repeat(np.append(0, steps)[pointers[:-1]], lengths) - 1
    if len(rows) and rows.max() >= header.n_items:
        raise PackedFileError("body", f"a seen list names row {rows.max()} of {header.n_items}")
    return Lists(pointers, rows.astype(np.uint32))


def _is_decimal(string: bytes) -> bool:
    return string.isdigit() and len(string) <= _MAX_DIGITS and (string[:1] != b"0" or string == b"0")


def _shared(before: bytes, string: bytes) -> int:
    """Length of the common beginning, at most 255."""
    most = min(len(before), len(string), _MAX_SHARED)
    if before[:most] == string[:most]:
        return most
    return next(i for i in range(most) if before[i] != string[i])
