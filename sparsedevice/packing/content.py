"""What a packed file says, apart from how it lies: the form in which files are compared and coded.

Pointers, starts, codes of strings, the id index, padding and alignment follow from the rest, so neither a
delta nor the compact coding carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, PackedFileError
from sparsedevice.packing.coded import TEXT, code_list
from sparsedevice.packing.format import (
    ENTRY_BYTES,
    HEADER_BYTES,
    LAYOUTS,
    MAX_DIM,
    MAX_ITEMS,
    MAX_USERS,
    SIMILARITIES,
    SLICE_ROWS,
    VALUES,
    Header,
    Kind,
    build_head,
    can_slice,
    index_slots,
    slot_bits,
    value_bytes,
)
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.quantize import Rows, row_inverse_norms
from sparsedevice.packing.reader import PackedFile
from sparsedevice.packing.streams import Sink, Source
from sparsedevice.packing.strings import id_index
from sparsedevice.packing.symbols import END, NOTHING, Symbols
from sparsedevice.packing.writer import item_parts, user_parts


@dataclass(frozen=True, eq=False)
class Content:
    """All that a packed file says.

    Attributes:
        header: counts and codes.
        items: item rows as stored.
        users: user rows as stored; None where the file ships none.
        strings: item ids, user ids and titles, under the kind of their pointers.
        seen: rows of the items that each user has seen; None where the file has none.
        weights: bits of the fold-in weights, uint32[n_items]; None where the file has none.
        matrix: bits of the fold-in matrix, uint32[dim * dim]; None where the file has none.
        metadata: the JSON; None where the file has none.
        rule: the fold-in rule, 20 bytes; None where the file has none.
        tower: bits of the fold-in tower, uint32[n]; None where the file has none.
        symbols: those of the strings that are coded as text, under the same kinds.
    """

    header: Header
    items: Rows
    users: Rows | None
    strings: Mapping[Kind, Lists]
    seen: Lists | None
    weights: NDArray[np.uint32] | None
    matrix: NDArray[np.uint32] | None
    metadata: bytes | None
    rule: bytes | None
    tower: NDArray[np.uint32] | None
    symbols: Mapping[Kind, Symbols]


STRING_KINDS = (Kind.ITEM_ID_POINTERS, Kind.USER_ID_POINTERS, Kind.TITLE_POINTERS)


@dataclass(frozen=True)
class Optional:
    """Which of the sections that a file may lack are there."""

    titles: bool
    seen: bool
    weights: bool
    matrix: bool
    metadata: bool
    rule: bool
    tower: bool

    def string_kinds(self, header: Header) -> list[Kind]:
        """The lists of strings that the file has, in order."""
        there = {Kind.USER_ID_POINTERS: header.n_users > 0, Kind.TITLE_POINTERS: self.titles}
        return [kind for kind in STRING_KINDS if there.get(kind, True)]


def put_head(sink: Sink, content: Content) -> None:
    """Counts, codes, and which sections there are: 16 bytes."""
    header = content.header
    for count in (header.n_items, header.n_users, header.dim):
        sink.number(count)
    there = (
        Kind.TITLE_POINTERS in content.strings,
        *(
            part is not None
            for part in (
                content.seen,
                content.weights,
                content.matrix,
                content.metadata,
                content.rule,
                content.tower,
            )
        ),
    )
    codes = VALUES.index(header.values), LAYOUTS.index(header.layout), SIMILARITIES.index(header.similarity)
    sink.raw(bytes([*codes, sum(flag << i for i, flag in enumerate(there))]))


def take_head(source: Source) -> tuple[Header, Optional]:
    """Read what :func:`put_head` stored; numbers of entries are left 0.

    Raises:
        PackedFileError: ``body`` if a count or code is outside the format.
    """
    n_items, n_users, dim = source.number(), source.number(), source.number()
    values, layout, similarity, there = source.raw(4)
    if not (1 <= n_items <= MAX_ITEMS and n_users <= MAX_USERS and 1 <= dim <= MAX_DIM):
        raise PackedFileError(
            "body", f"{n_items} items, {n_users} users, {dim} columns is outside the format"
        )
    if values >= len(VALUES) or layout >= len(LAYOUTS) or similarity >= len(SIMILARITIES) or there >= 128:
        raise PackedFileError("body", f"unknown codes {values}, {layout}, {similarity}, {there}")
    header = Header(n_items, n_users, dim, VALUES[values], LAYOUTS[layout], SIMILARITIES[similarity], 0, 0, 0)
    if (
        (header.layout == "sliced" and not can_slice(header.values))
        or (there & 2 and not n_users)
        or (there & 64 and not there & 32)
    ):
        raise PackedFileError("body", "the codes do not go together")
    return header, Optional(*(bool(there >> i & 1) for i in range(7)))


def read_content(packed: PackedFile) -> Content:
    """What a file says. The file must have been verified.

    Raises:
        ConfigError: if the file has a pair network, which neither deltas nor the compact coding carry.
    """
    if packed.network is not None:
        raise ConfigError(
            "a packed file with a network (model 'neumf') has no delta and no compact coding; send it whole"
        )
    coded = {kind: packed.coded(kind) for kind in STRING_KINDS if kind in packed.sections}
    seen = None
    if Kind.SEEN_ROWS in packed.sections:
        pointers = packed.section(Kind.SEEN_POINTERS, "<u4").astype(np.int64)
        seen = Lists(pointers, packed.section(Kind.SEEN_ROWS, "<u4"))

    def words(kind: Kind) -> NDArray[np.uint32] | None:
        return packed.section(kind, "<u4") if kind in packed.sections else None

    return Content(
        packed.header,
        packed.item_rows,
        packed.user_rows,
        {kind: strings.all() for kind, strings in coded.items()},
        seen,
        words(Kind.FOLD_WEIGHTS),
        words(Kind.FOLD_MATRIX),
        packed.section(Kind.METADATA).tobytes() if Kind.METADATA in packed.sections else None,
        packed.section(Kind.FOLD_RULE).tobytes() if Kind.FOLD_RULE in packed.sections else None,
        words(Kind.FOLD_TOWER),
        {kind: strings.symbols for kind, strings in coded.items() if strings.head.coding == TEXT},
    )


def build_file(content: Content) -> bytes:
    """The packed file that says this, as ``pack`` would write it; nothing else is checked.

    Raises:
        PackedFileError: ``body`` if the symbols do not make the strings.
    """
    header = content.header
    parts = item_parts(content.items, header.layout, header.values)
    if content.users is not None:
        parts |= user_parts(content.users, header.values)
    parts |= _string_parts(content)
    if content.seen is not None:
        parts[Kind.SEEN_POINTERS] = content.seen.pointers.astype("<u4").tobytes()
        parts[Kind.SEEN_ROWS] = content.seen.data.astype("<u4").tobytes()
    for kind, words in ((Kind.FOLD_WEIGHTS, content.weights), (Kind.FOLD_MATRIX, content.matrix)):
        if words is not None:
            parts[kind] = words.astype("<u4").tobytes()
    if content.metadata is not None:
        parts[Kind.METADATA] = content.metadata
    if content.rule is not None:
        parts[Kind.FOLD_RULE] = content.rule
    if content.tower is not None:
        parts[Kind.FOLD_TOWER] = content.tower.astype("<u4").tobytes()
    header = replace(
        header,
        nnz_items=len(content.items.values),
        nnz_users=0 if content.users is None else len(content.users.values),
        nnz_seen=0 if content.seen is None else len(content.seen.data),
    )
    head, sections = build_head(header, parts)
    file = bytearray(head)
    for section in sections:
        file += bytes(section.offset - len(file))
        file += parts[section.kind]
    return bytes(file)


def _string_parts(content: Content) -> dict[Kind, bytes]:
    parts: dict[Kind, bytes] = {}
    for kind, strings in content.strings.items():
        coded = None if (strings.data == END).any() else code_list(strings, content.symbols.get(kind))
        if coded is None:
            raise PackedFileError("body", f"the strings of {kind.name} are not made of the symbols given")
        parts[kind], parts[Kind(kind + 1)] = coded
        if kind is not Kind.TITLE_POINTERS:
            parts[Kind(kind + 2)] = id_index(strings)
    return parts


def least_bytes(content: Content) -> int:
    """A size that the file with this content is not smaller than, found without building it."""
    header, items = content.header, content.items
    lengths = np.diff(items.indptr)
    entries, width = len(items.values), header.column_bytes
    if header.layout == "sliced":
        width = 1
        padded = np.zeros(SLICE_ROWS * header.n_slices, np.int64)
        padded[: len(lengths)] = lengths
        entries = SLICE_ROWS * int(padded.reshape(-1, SLICE_ROWS).max(axis=1).sum())
    size = HEADER_BYTES + 7 * ENTRY_BYTES + entries * width + value_bytes(header.values, entries)
    for kind, strings in content.strings.items():
        n = len(strings.pointers) - 1
        if kind is not Kind.TITLE_POINTERS:
            size += index_slots(n) * slot_bits(n) // 8
    return size


def put_symbols(sink: Sink, symbols: Symbols) -> None:
    """A table of symbols."""
    codes = (symbols.width, symbols.more, symbols.n_short, symbols.first_final, symbols.n_final)
    for number in (len(symbols.pairs), *codes):
        sink.number(number)
    sink.planes(symbols.pairs, 2)


def take_symbols(source: Source) -> Symbols:
    """Read a table of symbols.

    Raises:
        PackedFileError: ``body`` if the format has no such table.
    """
    n, width, more, n_short, first_final, n_final = (source.number() for _ in range(6))
    pairs = source.planes(2 * n, 2).astype(np.int64).reshape(n, 2)
    symbols = Symbols(pairs, width, more, n_short, first_final, n_final)
    if not (n <= NOTHING and 1 <= width <= 12 and more <= 12) or max(n_short, first_final, n_final) > 0xFFFF:
        raise PackedFileError("body", f"a table of {n} symbols with codes of {width} + {more} bits")
    try:
        symbols.check()
    except PackedFileError as error:
        raise PackedFileError("body", "the symbols of a list of strings are damaged") from error
    return symbols


def derived_scales(rows: Rows, header: Header) -> NDArray[np.float32] | None:
    """The scales that :func:`sparsedevice.packing.pack` gives these values; None where it looks at more."""
    if header.similarity != "cosine":
        return None
    # Values of a damaged file may be anything; its sha256 then shows it.
    with np.errstate(invalid="ignore"):
        return row_inverse_norms(rows.values, rows.indptr)


def scales_follow(rows: Rows, header: Header) -> bool:
    """Whether a file need not carry these scales, since they follow from the values."""
    derived = derived_scales(rows, header)
    return derived is not None and bool((bits_of(derived) == bits_of(rows.scales)).all())


def bits_of(numbers: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The bits of float32 numbers."""
    bits: NDArray[np.uint32] = np.ascontiguousarray(numbers, "<f4").view("<u4")
    return bits
