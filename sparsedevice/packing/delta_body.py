"""The body of a delta: rows of the new file, each from its row in the base or given anew.

Rows are matched by id, so it does not matter that the files order them differently. Layout: docs/delta.md.
"""

from __future__ import annotations

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
from sparsedevice.packing.delta_rows import (
    RowMap,
    put_map,
    put_rows,
    put_seen,
    put_strings,
    put_words,
    take_map,
    take_rows,
    take_seen,
    take_strings,
    take_words,
)
from sparsedevice.packing.fold_in import RULE_BYTES, tower_numbers
from sparsedevice.packing.format import Header, Kind
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.streams import Sink, Source
from sparsedevice.packing.symbols import Symbols

_NO_STRINGS = Lists(np.zeros(1, np.int64), np.empty(0, np.uint8))


def write_body(base: Content, new: Content) -> tuple[bytes, dict[str, dict[str, int]]]:
    """The body that turns ``base`` into ``new``, and counts of rows for items and users."""
    sink = Sink()
    put_head(sink, new)
    items = _match(base.strings[Kind.ITEM_ID_POINTERS], new.strings[Kind.ITEM_ID_POINTERS])
    users = _match(
        base.strings.get(Kind.USER_ID_POINTERS, _NO_STRINGS),
        new.strings.get(Kind.USER_ID_POINTERS, _NO_STRINGS),
    )
    put_map(sink, items)
    put_map(sink, users)
    for kind, strings in sorted(new.strings.items()):
        put_strings(sink, _expected_strings(base, kind, items, users), strings)
        _put_symbols(sink, base.symbols.get(kind), new.symbols.get(kind))
    changed = put_rows(sink, _expected_rows(base.items, base, new.header, items), new.items)
    _put_scales(sink, _expected_rows(base.items, base, new.header, items), new.items, new.header)
    counts = {"items": {**items.counts(), "changed": int((changed & (items.base >= 0)).sum())}}
    if new.users is not None:
        expected = _expected_rows(base.users, base, new.header, users)
        changed = put_rows(sink, expected, new.users)
        _put_scales(sink, expected, new.users, new.header)
        counts["users"] = {**users.counts(), "changed": int((changed & (users.base >= 0)).sum())}
    if new.seen is not None:
        put_seen(sink, base.seen, new.seen, items, users)
    if new.weights is not None:
        put_words(sink, items.words(base.weights), new.weights)
    if new.matrix is not None:
        put_words(sink, _old_matrix(base, new.header.dim), new.matrix)
    if new.metadata is not None:
        put_strings(sink, _single(base.metadata or b""), _single(new.metadata))
    if new.rule is not None:
        sink.raw(new.rule)
    if new.tower is not None:
        put_words(sink, _old_tower(base, len(new.tower)), new.tower)
    return sink.data(), counts


def read_body(base: Content, body: bytes, result_bytes: int) -> Content:
    """What the new file says.

    Args:
        base: what the base says.
        body: as :func:`write_body` gave it.
        result_bytes: size of the new file; a body that asks for more is refused before it is built.

    Raises:
        PackedFileError: ``body`` if it is not well formed.
    """
    source = Source(body)
    header, parts = take_head(source)
    n_base_users = len(base.strings.get(Kind.USER_ID_POINTERS, _NO_STRINGS).pointers) - 1
    items = take_map(source, header.n_items, base.header.n_items)
    users = take_map(source, header.n_users, n_base_users)
    strings, symbols = {}, {}
    for kind in parts.string_kinds(header):
        strings[kind] = take_strings(source, _expected_strings(base, kind, items, users))
        table = _take_symbols(source, base.symbols.get(kind))
        if table is not None:
            symbols[kind] = table
    expected = _expected_rows(base.items, base, header, items)
    item_rows = _take_scales(source, expected, take_rows(source, expected, header), header)
    user_rows = None
    if header.n_users:
        expected = _expected_rows(base.users, base, header, users)
        user_rows = _take_scales(source, expected, take_rows(source, expected, header), header)
    seen = take_seen(source, base.seen, items, users) if parts.seen else None
    weights = take_words(source, items.words(base.weights)) if parts.weights else None
    matrix = take_words(source, _old_matrix(base, header.dim)) if parts.matrix else None
    metadata = None
    if parts.metadata:
        metadata = take_strings(source, _single(base.metadata or b"")).data.tobytes()
    rule = bytes(source.raw(RULE_BYTES)) if parts.rule else None
    tower = None
    if parts.tower and rule:
        tower = take_words(source, _old_tower(base, tower_numbers(rule, header.dim)))
    source.end()
    fold_in = weights, matrix, metadata, rule, tower
    content = Content(header, item_rows, user_rows, strings, seen, *fold_in, symbols)
    if least_bytes(content) > result_bytes:
        raise PackedFileError("body", f"the rows do not fit the {result_bytes} bytes that the delta promises")
    return content


def _match(base: Lists, new: Lists) -> RowMap:
    row = {raw: i for i, raw in enumerate(base.raw())}
    ids = new.raw()
    return RowMap(np.fromiter((row.get(raw, -1) for raw in ids), np.int64, len(ids)), len(row))


def _expected_strings(base: Content, kind: Kind, items: RowMap, users: RowMap) -> Lists:
    rows = users if kind is Kind.USER_ID_POINTERS else items
    old = base.strings.get(kind)
    return (
        Lists(np.zeros(len(rows.base) + 1, np.int64), np.empty(0, np.uint8))
        if old is None
        else rows.lists(old)
    )


def _expected_rows(old: Rows | None, base: Content, header: Header, rows: RowMap) -> Rows:
    """The rows of the base in the order of the new file; empty where it has none of this coding."""
    if old is None or (base.header.values, base.header.dim) != (header.values, header.dim):
        dtype = np.dtype({"f32": "<f4", "f16": "<f2"}.get(header.values, "i1"))
        n = len(rows.base)
        return Rows(
            np.zeros(n + 1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, dtype),
            np.ones(n, np.float32),
            header.dim,
        )
    return rows.rows(old)


def _put_scales(sink: Sink, expected: Rows, new: Rows, header: Header) -> None:
    follows = scales_follow(new, header)
    sink.number(int(follows))
    if not follows:
        put_words(sink, bits_of(expected.scales), bits_of(new.scales))


def _take_scales(source: Source, expected: Rows, rows: Rows, header: Header) -> Rows:
    follows = source.number()
    scales = (
        derived_scales(rows, header) if follows else take_words(source, bits_of(expected.scales)).view("<f4")
    )
    if follows > 1 or scales is None:
        raise PackedFileError("body", "the scales have an unknown coding")
    return Rows(rows.indptr, rows.columns, rows.values, scales, rows.dim)


def _old_matrix(base: Content, dim: int) -> NDArray[np.uint32]:
    if base.matrix is None or base.header.dim != dim:
        return np.zeros(dim * dim, np.uint32)
    return base.matrix


def _old_tower(base: Content, size: int) -> NDArray[np.uint32]:
    if base.tower is None or len(base.tower) != size:
        return np.zeros(size, np.uint32)
    return base.tower


def _put_symbols(sink: Sink, old: Symbols | None, new: Symbols | None) -> None:
    """0: no symbols, 1: those of the base, 2: others, which follow."""
    same = old is not None and new is not None and _fields(old) == _fields(new)
    sink.number(0 if new is None else 1 if same else 2)
    if new is not None and not same:
        put_symbols(sink, new)


def _take_symbols(source: Source, old: Symbols | None) -> Symbols | None:
    kind = source.number()
    if kind > 2 or (kind == 1 and old is None):
        raise PackedFileError("body", f"symbols have the unknown coding {kind}")
    return take_symbols(source) if kind == 2 else old if kind else None


def _fields(symbols: Symbols) -> tuple[object, ...]:
    numbers = symbols.width, symbols.more, symbols.n_short, symbols.first_final, symbols.n_final
    return *numbers, symbols.to_bytes()


def _single(raw: bytes) -> Lists:
    return Lists(np.array([0, len(raw)], np.int64), np.frombuffer(raw, np.uint8))
