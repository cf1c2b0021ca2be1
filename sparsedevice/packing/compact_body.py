"""The two parts of a compact file: a body that deflate shrinks, and the streams of the entropy coder.

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
    SLACK,
    STREAMS,
    Coded,
    Gaps,
    coded_bits,
    decode_bytes,
    decode_columns,
    encode_bytes,
    encode_columns,
    fit_codes,
    gap_symbols,
    low_bits,
    symbol_counts,
)
from sparsedevice.packing.fold_in import RULE_BYTES, tower_numbers
from sparsedevice.packing.format import Header, Kind, value_bytes
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.sliced import join_nibbles, sign_extend
from sparsedevice.packing.streams import Sink, Source, deflate
from sparsedevice.packing.symbols import MAX_SYMBOL_BYTES

_FRONT_CODED, _DECIMAL = 0, 1
_MAX_SHARED = 255
# Follows each string; no UTF-8 holds this byte.
_END = b"\xff"
# Decimal ids up to here can be numbers; the difference of two then fits eight bytes.
_MAX_DIGITS = 18


def write_parts(content: Content) -> tuple[bytes, bytes]:
    """Body and streams of a compact file with this content."""
    sink, streams = Sink(), Sink()
    put_head(sink, content)
    _put_rows(sink, streams, content.items, content.header)
    if content.users is not None:
        _put_rows(sink, streams, content.users, content.header)
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
    streams.raw(bytes(SLACK))
    return sink.data(), streams.data()


def read_parts(body: bytes, streams: memoryview, result_bytes: int) -> Content:
    """What a compact file says.

    Args:
        body: after inflating.
        streams: of the entropy coder, and the zeros behind them.
        result_bytes: size of the packed file; no array is made that would not fit it.

    Raises:
        PackedFileError: ``body`` or ``streams`` if one of the two is not well formed.
    """
    source, coded = Source(body), Source(streams)
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
    if any(coded.raw(SLACK)):
        raise PackedFileError("body", "the streams do not end in zeros")
    coded.end()
    content = Content(header, items, users, strings, seen, weights, matrix, metadata, rule, tower, symbols)
    if least_bytes(content) > result_bytes:
        raise PackedFileError("body", f"the rows do not fit the {result_bytes} bytes that the file promises")
    return content


def _put_rows(sink: Sink, streams: Sink, rows: Rows, header: Header) -> None:
    put_lengths(sink, streams, np.diff(rows.indptr))
    gaps, columns = coded_columns(rows)
    sink.number(gaps.shift)
    _put_coded(sink, streams, columns)
    if header.values in _INTEGERS:
        _put_coded(sink, streams, encode_bytes(value_bytes_of(rows.values, header.values)))
    else:
        size = rows.values.dtype.itemsize
        sink.planes(np.ascontiguousarray(rows.values).view(f"<u{size}"), size)
    follows = scales_follow(rows, header)
    sink.number(int(follows))
    if not follows:
        sink.planes(bits_of(rows.scales), 4)


def put_lengths(sink: Sink, streams: Sink, lengths: NDArray[np.int64]) -> None:
    """Runs of equal ones, as sorted rows have, or bytes that are entropy coded."""
    first = np.flatnonzero(np.diff(lengths, prepend=-1))
    if 4 * len(first) <= len(lengths):
        sink.number(len(first))
        sink.planes(lengths[first], 2)
        sink.planes(np.diff(first, append=len(lengths)), 4)
        return
    planes = 1 if lengths.max() < 256 else 2
    sink.number(0)
    sink.number(planes)
    bytes_of = Sink()
    bytes_of.planes(lengths, planes)
    _put_coded(sink, streams, encode_bytes(np.frombuffer(bytes_of.data(), np.uint8)))


def take_lengths(source: Source, coded: Source, n: int) -> NDArray[np.int64]:
    """What :func:`put_lengths` stored of ``n`` rows."""
    runs = source.number()
    if runs:
        lengths, counts = source.planes(runs, 2).astype(np.int64), source.planes(runs, 4)
        if int(counts.sum(dtype=np.uint64)) != n:
            raise PackedFileError("body", f"lengths of {counts.sum()} rows stand where {n} belong")
        return np.repeat(lengths, counts)
    planes = source.number()
    if planes not in (1, 2):
        raise PackedFileError("body", f"lengths of rows have {planes} bytes")
    data = decode_bytes(_take_coded(source, coded, 1, 256), n * planes)
    return Source(data.tobytes()).planes(n, planes).astype(np.int64)


# Values of these codings are entropy coded as bytes, values of others stored in planes.
_INTEGERS = ("int8", "int4")


def value_bytes_of(values: NDArray[Any], coding: str) -> NDArray[np.uint8]:
    """The bytes of int8 values, or of int4 values, two in a byte."""
    if coding == "int8":
        return values.view(np.uint8)
    even = np.append(values, np.zeros(len(values) % 2, np.int8))
    return join_nibbles(even[0::2].copy(), even[1::2].copy())


def _values_of(data: NDArray[np.uint8], coding: str, count: int) -> NDArray[np.int8]:
    """The values that :func:`value_bytes_of` made bytes."""
    if coding == "int8":
        return data.view(np.int8)
    return np.stack((sign_extend(data, 0), sign_extend(data, 4)), axis=1).reshape(-1)[:count]


def _take_rows(source: Source, coded: Source, n: int, header: Header, result_bytes: int) -> Rows:
    if 4 * n > result_bytes:
        raise PackedFileError("body", f"{n} rows do not fit a file of {result_bytes} bytes")
    lengths = take_lengths(source, coded, n)
    entries = int(lengths.sum())
    if entries * header.column_bytes > result_bytes:
        raise PackedFileError("body", f"{entries} entries do not fit a file of {result_bytes} bytes")
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    bits = low_bits(header.dim)
    gaps = Gaps(bits, source.number())
    if not bits <= gaps.shift <= 12:
        raise PackedFileError("body", f"columns have the unknown coding {gaps.shift}")
    in_columns = _take_coded(source, coded, gaps.tables(header.dim), gaps.symbols(header.dim))
    columns = decode_columns(in_columns, indptr, header.dim, gaps)
    values: NDArray[Any]
    if header.values in _INTEGERS:
        size = value_bytes(header.values, entries)
        values = _values_of(decode_bytes(_take_coded(source, coded, 1, 256), size), header.values, entries)
    else:
        size = 4 if header.values == "f32" else 2
        values = source.planes(entries, size).view(f"<f{size}")
    rows = Rows(indptr, columns, values, np.empty(0, np.float32), header.dim)
    follows = source.number()
    scales = derived_scales(rows, header) if follows else source.planes(n, 4).view("<f4")
    if follows > 1 or scales is None:
        raise PackedFileError("body", "the scales have an unknown coding")
    return Rows(indptr, columns, values, scales, header.dim)


def coded_columns(rows: Rows) -> tuple[Gaps, Coded]:
    """The columns, with the number of tables that makes columns and tables together smallest."""
    bits = low_bits(rows.dim)
    best: tuple[float, Gaps, NDArray[np.uint8]] | None = None
    for shift in range(bits, (rows.dim - 1).bit_length() + 1):
        gaps = Gaps(bits, shift)
        symbols, _, table = gap_symbols(rows.indptr, rows.columns, gaps)
        counts = symbol_counts(symbols, table, gaps.tables(rows.dim), gaps.symbols(rows.dim))
        code_lengths = fit_codes(counts)
        cost = 8 * len(deflate(code_lengths.tobytes())) + coded_bits(counts, code_lengths)
        if best is None or cost < best[0]:
            best = cost, gaps, code_lengths
    assert best is not None, "a table has at least one column"
    _, gaps, code_lengths = best
    symbols, low, table = gap_symbols(rows.indptr, rows.columns, gaps)
    return gaps, encode_columns(symbols, low, table, gaps, code_lengths, rows.indptr)


def _put_coded(sink: Sink, streams: Sink, coded: Coded) -> None:
    sink.raw(coded.code_lengths)
    sink.raw(coded.stream_bytes.astype("<u4"))
    streams.raw(bytes(coded.streams))


def _take_coded(source: Source, streams: Source, tables: int, symbols: int) -> Coded:
    code_lengths = np.frombuffer(source.raw(tables * symbols), np.uint8).reshape(tables, symbols)
    sizes = np.frombuffer(source.raw(4 * STREAMS), "<u4")
    return Coded(streams.raw(int(sizes.sum(dtype=np.int64)), SLACK), sizes, code_lengths)


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
        return Lists.of_numbers(numbers)
    if coding != _FRONT_CODED:
        raise PackedFileError("body", f"strings have the unknown coding {coding}")
    shared = source.planes(n, 1)
    size = source.number()
    # A code has at least one bit, and stands for at most 64 bytes.
    if size + int(shared.sum(dtype=np.int64)) > 8 * MAX_SYMBOL_BYTES * result_bytes:
        raise PackedFileError("body", f"strings do not fit a file of {result_bytes} bytes")
    ends = np.frombuffer(source.raw(size), np.uint8)
    stops = np.flatnonzero(ends == _END[0])
    if len(stops) != n or size != stops[-1] + 1:
        raise PackedFileError("body", f"{len(stops)} strings stand where {n} belong")
    if not shared.any():
        return Lists.behind_one_another(np.diff(stops, prepend=-1) - 1, ends[ends != _END[0]])
    from sparsedevice.runtime import _core

    lengths = np.empty(n, np.int64)
    return Lists.behind_one_another(
        lengths, np.frombuffer(_core.join_fronts(shared, ends, lengths), np.uint8)
    )


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
