"""The packed file, version 1: constants, header and section table. The promises are in docs/format.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

from sparsedevice.errors import ConfigError, PackedFileError
from sparsedevice.packing.bits import bit_bytes
from sparsedevice.packing.coded import HEAD_BYTES as LIST_HEAD_BYTES
from sparsedevice.packing.coded import ListHead
from sparsedevice.packing.fold_in import RULE_BYTES, tower_numbers
from sparsedevice.packing.pair_network import network_bytes

Values = Literal["f32", "f16", "int8", "int4"]
Layout = Literal["csr", "sliced"]
Similarity = Literal["cosine", "dot"]

MAGIC = b"\x93SDV\r\n\x1a\n"
VERSION = 1
BYTE_ORDER = 0x0A0B0C0D
ALIGNMENT = 64
MAX_ITEMS = 2**31 - 1
MAX_USERS = 2**31 - 1
MAX_DIM = 4096
MAX_STRING_BYTES = 65_535
#: Up to this many columns a column id is one byte; above it two, and in slices one that counts from a base.
MAX_BYTE_DIM = 256
#: Unit of such a base.
BASE_COLUMNS = 16
#: Up to this many columns, rows of slices are sorted by the half that their columns lie in.
HALVED_DIM = 64
#: Rows of one slice of the sliced layout.
SLICE_ROWS = 64

VALUES: tuple[Values, ...] = get_args(Values)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)

_HEADER = struct.Struct("<8s5I4B3Q2I")
_ENTRY = struct.Struct("<2I2Q")
HEADER_BYTES = _HEADER.size
ENTRY_BYTES = _ENTRY.size


class Kind(IntEnum):
    """What a section holds. Sections stand in the file in this order."""

    ITEM_POINTERS = 1
    ITEM_COLUMNS = 2
    ITEM_VALUES = 3
    ITEM_SCALES = 4
    USER_POINTERS = 5
    USER_COLUMNS = 6
    USER_VALUES = 7
    USER_SCALES = 8
    SEEN_POINTERS = 9
    SEEN_ROWS = 10
    ITEM_ID_POINTERS = 11
    ITEM_ID_BYTES = 12
    ITEM_ID_INDEX = 13
    USER_ID_POINTERS = 14
    USER_ID_BYTES = 15
    USER_ID_INDEX = 16
    TITLE_POINTERS = 17
    TITLE_BYTES = 18
    FOLD_WEIGHTS = 19
    FOLD_MATRIX = 20
    METADATA = 21
    FOLD_RULE = 22
    FOLD_TOWER = 23
    PAIR_NETWORK = 24


ITEM_KINDS = (Kind.ITEM_POINTERS, Kind.ITEM_COLUMNS, Kind.ITEM_VALUES, Kind.ITEM_SCALES)
ITEM_ID_KINDS = (Kind.ITEM_ID_POINTERS, Kind.ITEM_ID_BYTES, Kind.ITEM_ID_INDEX)
USER_KINDS = (Kind.USER_POINTERS, Kind.USER_COLUMNS, Kind.USER_VALUES, Kind.USER_SCALES)
USER_ID_KINDS = (Kind.USER_ID_POINTERS, Kind.USER_ID_BYTES, Kind.USER_ID_INDEX)
SEEN_KINDS = (Kind.SEEN_POINTERS, Kind.SEEN_ROWS)
TITLE_KINDS = (Kind.TITLE_POINTERS, Kind.TITLE_BYTES)


@dataclass(frozen=True)
class Section:
    """One entry of the section table: bytes ``offset`` to ``offset + length`` and their CRC-32."""

    kind: Kind
    crc32: int
    offset: int
    length: int


@dataclass(frozen=True)
class Header:
    """Counts and codes, each stored once.

    Attributes:
        nnz_items: entries of item rows, padding not counted.
        nnz_users: entries of user rows; 0 without users.
        nnz_seen: items in all seen lists; 0 without seen lists.
    """

    n_items: int
    n_users: int
    dim: int
    values: Values
    layout: Layout
    similarity: Similarity
    nnz_items: int
    nnz_users: int
    nnz_seen: int

    @property
    def column_bytes(self) -> int:
        """Bytes of one column id of rows in CSR form: 1 up to 256 columns, else 2."""
        return 1 if self.dim <= MAX_BYTE_DIM else 2

    def bases(self, stored: int) -> int:
        """Bytes of the bases of slices with ``stored`` entries: one a step above 256 columns."""
        return stored // SLICE_ROWS if self.layout == "sliced" and self.dim > MAX_BYTE_DIM else 0

    @property
    def flags(self) -> int:
        """1 where rows are sorted by :func:`sparsedevice.packing.sliced.sort_keys`."""
        return int(self.layout == "sliced" and self.dim <= MAX_BYTE_DIM)

    @property
    def n_slices(self) -> int:
        """Slices of 64 rows, the last one filled up with empty rows."""
        return -(-self.n_items // SLICE_ROWS)


def value_bytes(values: Values, count: int) -> int:
    """Bytes that ``count`` values take; int4 values lie two in a byte."""
    return {"f32": 4 * count, "f16": 2 * count, "int8": count, "int4": (count + 1) // 2}[values]


def index_slots(n: int) -> int:
    """Slots that the hashes of ``n`` ids are spread over."""
    return n + n // 4 + 1


def slot_bits(n: int) -> int:
    """Bits of a slot of the index of ``n`` ids; all of them set where it is empty."""
    return n.bit_length()


def can_slice(values: str) -> bool:
    """Whether the format has slices of such values."""
    return values in ("int8", "int4")


def layout_reason(asked: str, values: str, layout: Layout) -> str:
    """One sentence for people: why a file has the layout that it has.

    Args:
        asked: what the caller asked for: auto, csr or sliced.
        values: as in the file.
        layout: as in the file.
    """
    if asked != "auto":
        return "it was asked for"
    if not can_slice(values):
        return f"slices hold int8 or int4 values, not {values}"
    if layout == "csr":
        return (
            f"slices would be larger: above {MAX_BYTE_DIM} columns rows must use columns near one another's"
        )
    return f"vector kernels score {values} values 64 rows at a time in slices"


def check_layout(values: Values, layout: Layout) -> None:
    """Refuse a combination that the format does not have.

    Raises:
        ConfigError: if the sliced layout is asked for floats.
    """
    if layout == "sliced" and not can_slice(values):
        raise ConfigError(f"layout 'sliced' holds int8 or int4 values, not {values}; use layout 'csr'")


def aligned(offset: int) -> int:
    """The next multiple of 64 at or above ``offset``."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def build_head(header: Header, parts: Mapping[Kind, bytes]) -> tuple[bytes, list[Section]]:
    """Header and section table of a file with these parts, and the sections themselves."""
    kinds = sorted(parts)
    offset = HEADER_BYTES + ENTRY_BYTES * len(kinds)
    sections = []
    for kind in kinds:
        offset = aligned(offset)
        sections.append(Section(kind, zlib.crc32(parts[kind]), offset, len(parts[kind])))
        offset += len(parts[kind])
    return encode_head(header, sections), sections


def encode_head(header: Header, sections: Sequence[Section]) -> bytes:
    """Header and section table as bytes, with their checksum."""
    table = b"".join(_ENTRY.pack(s.kind, s.crc32, s.offset, s.length) for s in sections)

    def head(checksum: int) -> bytes:
        return _HEADER.pack(
            MAGIC,
            VERSION,
            BYTE_ORDER,
            header.n_items,
            header.n_users,
            header.dim,
            VALUES.index(header.values),
            LAYOUTS.index(header.layout),
            SIMILARITIES.index(header.similarity),
            header.flags,
            header.nnz_items,
            header.nnz_users,
            header.nnz_seen,
            len(sections),
            checksum,
        )

    return head(zlib.crc32(head(0) + table)) + table


def decode_head(data: memoryview) -> tuple[Header, dict[Kind, Section]]:
    """Read header and section table, in time that does not depend on the number of rows.

    Raises:
        PackedFileError: naming the first promise of docs/format.md that header or table breaks.
    """
    if len(data) < HEADER_BYTES:
        if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
            raise PackedFileError("magic", "this is not a sparsedevice packed file")
        raise PackedFileError("truncated", f"the file ends after {len(data)} bytes, inside its header")
    magic, version, byte_order, *counts, n_sections, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise PackedFileError("magic", "this is not a sparsedevice packed file")
    if byte_order != BYTE_ORDER:
        raise PackedFileError("byte-order", "the file was written with another byte order")
    if version != VERSION:
        raise PackedFileError(
            "version", f"format version {version} is not known here (known: {VERSION}); update"
        )
    if n_sections > len(Kind):
        raise PackedFileError("sections", f"the file claims {n_sections} sections; version 1 has {len(Kind)}")
    end = HEADER_BYTES + ENTRY_BYTES * n_sections
    if len(data) < end:
        raise PackedFileError("truncated", f"the file ends after {len(data)} bytes, inside its section table")
    if zlib.crc32(data[HEADER_BYTES:end], zlib.crc32(bytes(data[: HEADER_BYTES - 4]) + bytes(4))) != checksum:
        raise PackedFileError("header-checksum", "header or section table do not match their checksum")
    header = _decode_counts(counts)
    sections = _decode_table(data, n_sections, end)
    _check_presence(header, sections)
    _check_lengths(data, header, sections)
    _check_lists(data, header, sections)
    return header, sections


def _decode_counts(counts: list[int]) -> Header:
    n_items, n_users, dim, values, layout, similarity, flags, nnz_items, nnz_users, nnz_seen = counts
    if not (1 <= n_items <= MAX_ITEMS and n_users <= MAX_USERS and 1 <= dim <= MAX_DIM):
        raise PackedFileError(
            "counts", f"{n_items} items, {n_users} users, {dim} columns is outside the format"
        )
    if max(nnz_items, nnz_users, nnz_seen) > 0xFFFFFFFF:
        raise PackedFileError("counts", "a table with 2^32 entries or more is outside the format")
    if values >= len(VALUES) or layout >= len(LAYOUTS) or similarity >= len(SIMILARITIES):
        codes = f"{values}, {layout}, {similarity}"
        raise PackedFileError("codes", f"unknown codes for values, layout, similarity: {codes}")
    header = Header(
        n_items,
        n_users,
        dim,
        VALUES[values],
        LAYOUTS[layout],
        SIMILARITIES[similarity],
        nnz_items,
        nnz_users,
        nnz_seen,
    )
    if header.layout == "sliced" and not can_slice(header.values):
        raise PackedFileError("codes", f"layout 'sliced' does not hold {header.values} values")
    if flags != header.flags:
        raise PackedFileError(
            "codes",
            f"the flags are {flags}, not {header.flags}: an earlier version wrote the file; export it again",
        )
    return header


def _decode_table(data: memoryview, n_sections: int, end: int) -> dict[Kind, Section]:
    sections: dict[Kind, Section] = {}
    last = 0
    for i in range(n_sections):
        kind, crc32, offset, length = _ENTRY.unpack_from(data, HEADER_BYTES + ENTRY_BYTES * i)
        if not last < kind <= len(Kind):
            raise PackedFileError("sections", f"section {i} has kind {kind}, after kind {last}")
        if offset != aligned(end):
            raise PackedFileError(
                "contiguous", f"section {Kind(kind).name} starts at {offset}, not {aligned(end)}"
            )
        if length > len(data) or offset + length > len(data):
            raise PackedFileError(
                "truncated",
                f"section {Kind(kind).name} needs bytes up to {offset + length}, the file has {len(data)}",
            )
        last, end = kind, offset + length
        sections[Kind(kind)] = Section(Kind(kind), crc32, offset, length)
    if end != len(data):
        raise PackedFileError("extent", f"the last section ends at byte {end}, the file at {len(data)}")
    return sections


def _check_presence(header: Header, sections: Mapping[Kind, Section]) -> None:
    required = [*ITEM_KINDS, *ITEM_ID_KINDS, *((*USER_KINDS, *USER_ID_KINDS) if header.n_users else ())]
    for group in (SEEN_KINDS, TITLE_KINDS):
        if any(kind in sections for kind in group):
            required += group
    forbidden = () if header.n_users else (*USER_KINDS, *USER_ID_KINDS, *SEEN_KINDS)
    for kind in required:
        if kind not in sections:
            raise PackedFileError("sections", f"section {kind.name} is missing")
    for kind in forbidden:
        if kind in sections:
            raise PackedFileError("sections", f"section {kind.name} stands in a file without users")


def _check_lengths(data: memoryview, header: Header, sections: Mapping[Kind, Section]) -> None:
    stored = header.nnz_items
    if header.layout == "sliced":
        # The entries stored, padding included, are what the columns take: one byte each.
        stored = sections[Kind.ITEM_COLUMNS].length
        if stored % SLICE_ROWS or stored > SLICE_ROWS * 0xFFFFFFFF or header.nnz_items > stored:
            raise PackedFileError(
                "lengths", f"{stored} bytes of columns cannot hold {header.nnz_items} entries"
            )
    n, u, sliced = header.n_items, header.n_users, header.layout == "sliced"
    expected = {
        Kind.ITEM_POINTERS: 4 * ((header.n_slices if sliced else n) + 1) + header.bases(stored),
        Kind.ITEM_COLUMNS: stored * (1 if sliced else header.column_bytes),
        Kind.ITEM_VALUES: value_bytes(header.values, stored),
        Kind.ITEM_SCALES: 4 * (SLICE_ROWS * header.n_slices if sliced else n),
        Kind.USER_POINTERS: 4 * (u + 1),
        Kind.USER_COLUMNS: header.nnz_users * header.column_bytes,
        Kind.USER_VALUES: value_bytes(header.values, header.nnz_users),
        Kind.USER_SCALES: 4 * u,
        Kind.SEEN_POINTERS: 4 * (u + 1),
        Kind.SEEN_ROWS: 4 * header.nnz_seen,
        Kind.FOLD_WEIGHTS: 4 * n,
        Kind.FOLD_MATRIX: 4 * header.dim * header.dim,
        Kind.FOLD_RULE: RULE_BYTES,
        # Without a rule that has a tower no length is right.
        Kind.FOLD_TOWER: 4 * tower_numbers(_bytes(data, sections.get(Kind.FOLD_RULE)), header.dim) or -1,
        Kind.PAIR_NETWORK: network_bytes(_bytes(data, sections.get(Kind.PAIR_NETWORK)), header.dim) or -1,
    }
    for kind, section in sections.items():
        if section.length != expected.get(kind, section.length):
            raise PackedFileError(
                "lengths",
                f"section {kind.name} has {section.length} bytes, the counts ask for {expected[kind]}",
            )
        if kind not in expected and section.length > 0xFFFFFFFF:
            raise PackedFileError("lengths", f"section {kind.name} is longer than the format allows")


def _bytes(data: memoryview, section: Section | None) -> bytes:
    return b"" if section is None else bytes(data[section.offset : section.offset + section.length])


def _check_lists(data: memoryview, header: Header, sections: Mapping[Kind, Section]) -> None:
    """Sections of strings are as long as their heads say."""
    for first in (Kind.ITEM_ID_POINTERS, Kind.USER_ID_POINTERS, Kind.TITLE_POINTERS):
        if first not in sections:
            continue
        n = header.n_users if first is Kind.USER_ID_POINTERS else header.n_items
        starts, codes, index = (sections.get(Kind(first + i)) for i in range(3))
        assert starts is not None, "sections come together"
        assert codes is not None, "sections come together"
        if codes.length < LIST_HEAD_BYTES or not ListHead.from_bytes(data[codes.offset :]).fits(
            n, starts.length, codes.length
        ):
            raise PackedFileError(
                "lengths", f"section {Kind(first + 1).name} does not have what its first bytes say"
            )
        if first is Kind.TITLE_POINTERS or index is None:
            continue
        slots = int.from_bytes(data[index.offset : index.offset + 4], "little") if index.length >= 4 else 0
        least = index_slots(n)
        if not least <= slots <= 2 * least or index.length != 4 + bit_bytes(slots * slot_bits(n)):
            raise PackedFileError("lengths", f"section {Kind(first + 2).name} has {index.length} bytes")
