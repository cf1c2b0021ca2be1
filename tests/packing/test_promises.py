"""One damaged file for each promise of docs/format.md; numpy and the C core name the same promise."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import PackedFile
from sparsedevice.packing.bits import pack_bits
from sparsedevice.packing.format import HEADER_BYTES, Kind
from sparsedevice.packing.sliced import entries, entry_offsets
from sparsedevice.runtime.core import CoreRecommender
from tests.packing.small import patched, place, with_header_checksum, write_small

Damage = Callable[[bytes], bytes]


def head(at: int, new: bytes) -> Damage:
    return lambda data: with_header_checksum(bytearray(data[:at] + new + data[at + len(new) :]))


def body(kind: Kind, at: int, new: bytes) -> Damage:
    return lambda data: patched(data, kind, at, new)


def entry(index: int, field: int, new: bytes) -> Damage:
    return head(HEADER_BYTES + 24 * index + field, new)


def gap(data: bytes) -> bytes:
    """A byte between two sections that is not zero."""
    at = place(data, Kind.ITEM_COLUMNS) - 1
    return data[:at] + b"x" + data[at + 1 :]


def first_gap(data: bytes) -> bytes:
    """A byte between the section table and the first section that is not zero."""
    at = place(data, Kind.ITEM_POINTERS) - 1
    return data[:at] + b"x" + data[at + 1 :]


def swap_columns(data: bytes) -> bytes:
    """Two entries of the first user in the wrong order."""
    at = place(data, Kind.USER_COLUMNS)
    return patched(data, Kind.USER_COLUMNS, 0, bytes([data[at + 1], data[at]]))


def symbol(kind: Kind, number: int, left: int, right: int) -> Damage:
    """A symbol of other parts."""
    return body(kind, 20 + 3 * number, (left | right << 12).to_bytes(3, "little"))


def slots(rows: list[int]) -> Damage:
    """An item id index whose first slots are these, the others empty."""

    def damage(data: bytes) -> bytes:
        n_slots = int.from_bytes(data[place(data, Kind.ITEM_ID_INDEX) :][:4], "little")
        filled = np.array([*rows, *[127] * (n_slots - len(rows))])
        return patched(data, Kind.ITEM_ID_INDEX, 4, pack_bits(filled, 7))

    return damage


def steps(width: int) -> Damage:
    """Another width of the five user ids' differences: 0 makes all the same, in as many bits."""

    def damage(data: bytes) -> bytes:
        strings = PackedFile(data).coded(Kind.USER_ID_POINTERS)
        number = int.from_bytes(strings.stream[:8].tobytes(), "little")
        first = strings.head.width
        changed = number & (1 << first) - 1 | width << first if width else number & (1 << first + 6) - 1
        return patched(data, Kind.USER_ID_BYTES, 20, changed.to_bytes(8, "little"))

    return damage


def first_step(width: int) -> Damage:
    """Another width of the first block's differences, of item ids whose first numbers lie in blocks."""

    def damage(data: bytes) -> bytes:
        strings = PackedFile(data).coded(Kind.ITEM_ID_POINTERS)
        first = strings.head.more
        number = int.from_bytes(strings.stream[:8].tobytes(), "little")
        changed = number & ~(63 << first) | width << first
        return patched(data, Kind.ITEM_ID_BYTES, 20 + len(strings.table), changed.to_bytes(8, "little"))

    return damage


def first_moved(data: bytes) -> bytes:
    """Item ids in blocks whose first column has a bit less and a later one a bit more: the head tells."""
    strings = PackedFile(data).coded(Kind.ITEM_ID_POINTERS)
    table = bytearray(strings.table.tobytes())
    later = next(i for i in range(1, strings.head.n_short) if table[4 * i + 2])
    table[2] -= 1
    table[4 * later + 2] += 1
    return patched(data, Kind.ITEM_ID_BYTES, 20, bytes(table))


def columns(*bits: int, letters: int | None = None) -> Damage:
    """Other bits of the numbers of item ids like ASINs, or so many letters of each column."""

    def damage(data: bytes) -> bytes:
        strings = PackedFile(data).coded(Kind.ITEM_ID_POINTERS)
        table = bytearray(strings.table.tobytes())
        table[2 : 2 + 4 * len(bits) : 4] = bytes(bits)
        if letters:
            table[3 : 4 * strings.head.n_short : 4] = bytes([letters - 1] * strings.head.n_short)
        return patched(data, Kind.ITEM_ID_BYTES, 20, bytes(table))

    return damage


def u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def f32(number: float) -> bytes:
    return struct.pack("<f", number)


def rule(kind: int, count: int, rows: int, first: float, second: float, third: float = 0.0) -> Damage:
    return body(Kind.FOLD_RULE, 0, u32(kind, count, rows) + f32(first) + f32(second) + f32(third))


def first_waiting(data: bytes) -> int:
    """Place of a row's padding before its last entry, in the first slice of the wide file."""
    packed = PackedFile(data)
    row, _, values = entries(packed.slices, 64)
    steps = int(packed.slice_pointers[1])
    for i in np.flatnonzero((values[:-1] == 0) & (values[1:] != 0) & (np.diff(row) == 0)):
        lane, step = int(row[i]), int(i - steps * row[i])
        return int(
            entry_offsets(packed.slice_pointers.astype(np.int64), np.array([lane]), np.array([step]))[0]
        )
    raise AssertionError("no row waits")


def waiting_column(data: bytes) -> bytes:
    return patched(data, Kind.ITEM_COLUMNS, first_waiting(data), b"\x01")


#: Where the bases of the small wide file begin, which has two slices, and the last of them.
BASES = 4 * 3
NAN, INF = float("nan"), float("inf")
# The small file has steps: 2, 4, 16, 1.0, 8.0, 1.25.
BROKEN_RULES = [
    rule(0, 4, 16, 1.0, 8.0, 1.25),
    rule(3, 3, 8, 0.0, 0.0),
    rule(4, 4, 16, 1.0, 8.0, 1.25),
    rule(2, 0, 16, 1.0, 8.0, 1.25),
    rule(2, 3, 16, 1.0, 8.0, 1.25),
    rule(2, 32, 16, 1.0, 8.0, 1.25),
    rule(2, 4, 0, 1.0, 8.0, 1.25),
    rule(2, 4, 17, 1.0, 8.0, 1.25),
    rule(2, 4, 2**17, 1.0, 8.0, 1.25),
    rule(2, 4, 16, 0.0, 8.0, 1.25),
    rule(2, 4, 16, NAN, 8.0, 1.25),
    rule(2, 4, 16, INF, 8.0, 1.25),
    rule(2, 4, 16, 1.0, -8.0, 1.25),
    rule(2, 4, 16, 1.0, 351.0, 1.25),
    rule(2, 4, 16, 1.0, NAN, 1.25),
    rule(2, 4, 16, 1.0, 8.0, 0.0),
    rule(2, 4, 16, 1.0, 8.0, -1.0),
    rule(2, 4, 16, 1.0, 8.0, NAN),
    rule(2, 4, 16, 1.0, 8.0, INF),
    rule(1, 4, 0, 1.0, 0.0, 1.0),
    rule(1, 0, 0, 1.0, 0.0),
    rule(1, 65, 0, 1.0, 0.0),
    rule(1, 4, 1, 1.0, 0.0),
    rule(1, 4, 0, -1.0, 0.0),
    rule(1, 4, 0, INF, 0.0),
    rule(1, 4, 0, 1.0, 1.0),
    head(30, b"\x01"),  # steps are for cosine
]


def rescaled(rows: int, scale: float) -> Damage:
    """The first rows with another scale."""
    return body(Kind.ITEM_SCALES, 0, rows * f32(scale))


def shortened(data: bytes) -> bytes:
    """The first row without its last entry, and the header with one less: shorter than the second row."""
    packed = PackedFile(data)
    steps = packed.slice_pointers[:2].astype(np.int64)
    at = int(entry_offsets(steps, np.array([0]), steps[1:] - 1)[0])
    fewer = head(32, struct.pack("<Q", packed.nnz - 1))(data)
    return patched(patched(fewer, Kind.ITEM_COLUMNS, at, b"\0"), Kind.ITEM_VALUES, at, b"\0")


OUT_OF_ORDER = [rescaled(1, 1e3), rescaled(2, 1e3), shortened]


# (promise, values, layout, damage)
DAMAGED: list[tuple[str, str, str, Damage]] = [
    ("magic", "int8", "sliced", lambda data: b"PK\x03\x04" + data[4:]),
    ("magic", "int8", "sliced", lambda data: b"GG" + data[:0]),
    ("version", "int8", "sliced", head(8, u32(2))),
    ("byte-order", "int8", "sliced", head(12, b"\x0a\x0b\x0c\x0d")),
    ("truncated", "int8", "sliced", lambda data: data[:0]),
    ("truncated", "int8", "sliced", lambda data: data[:40]),
    ("truncated", "int8", "sliced", lambda data: data[:100]),
    ("truncated", "int8", "sliced", lambda data: data[:-1]),
    ("truncated", "int8", "sliced", entry(21, 16, struct.pack("<Q", 2**64 - 1))),
    ("header-checksum", "int8", "sliced", lambda data: data[:20] + b"\x01" + data[21:]),
    ("counts", "int8", "sliced", head(16, u32(0))),
    ("counts", "int8", "sliced", head(16, u32(2**31))),
    ("counts", "int8", "sliced", head(20, u32(2**31))),
    ("counts", "int8", "sliced", head(24, u32(0))),
    ("counts", "int8", "sliced", head(24, u32(4097))),
    ("counts", "int8", "sliced", head(32, struct.pack("<Q", 2**32))),
    ("codes", "int8", "sliced", head(28, b"\x04")),
    ("codes", "int8", "sliced", head(29, b"\x02")),
    ("codes", "int8", "sliced", head(30, b"\x02")),
    ("codes", "int8", "sliced", head(31, b"\x00")),
    ("codes", "int8", "sliced", head(31, b"\x03")),
    ("codes", "int8", "csr", head(31, b"\x01")),
    ("codes", "int8", "wide", head(31, b"\x01")),
    ("codes", "f32", "csr", head(29, b"\x01")),
    ("sections", "int8", "sliced", head(56, u32(25))),
    ("sections", "int8", "sliced", entry(21, 0, u32(25))),
    ("sections", "int8", "sliced", entry(1, 0, u32(1))),
    ("sections", "int8", "sliced", head(20, u32(0))),
    ("contiguous", "int8", "sliced", entry(3, 8, struct.pack("<Q", 64))),
    ("contiguous", "int8", "sliced", entry(0, 8, struct.pack("<Q", 2**64 - 64))),
    ("extent", "int8", "sliced", lambda data: data + b"\x00"),
    ("lengths", "int8", "sliced", head(16, u32(71))),
    ("lengths", "int8", "sliced", head(24, u32(13))),
    ("lengths", "int8", "csr", head(32, struct.pack("<Q", 1))),
    ("lengths", "int8", "sliced", head(32, struct.pack("<Q", 2**31))),
    ("lengths", "int8", "sliced", entry(12, 16, struct.pack("<Q", 90))),
    ("lengths", "int8", "sliced", body(Kind.ITEM_ID_BYTES, 0, b"\x03")),
    ("lengths", "int8", "sliced", body(Kind.ITEM_ID_BYTES, 4, b"\x00\x00")),
    ("lengths", "int8", "sliced", body(Kind.TITLE_BYTES, 12, struct.pack("<Q", 2**40))),
    ("lengths", "int8", "sliced", body(Kind.USER_ID_BYTES, 1, b"\x21")),
    ("lengths", "int8", "sliced", body(Kind.ITEM_ID_INDEX, 0, u32(2**32 - 1))),
    ("lengths", "int8", "sliced", body(Kind.USER_ID_BYTES, 6, b"\x0b")),
    ("lengths", "int8", "columns", body(Kind.ITEM_ID_BYTES, 0, b"\x02")),
    ("lengths", "int8", "columns", body(Kind.ITEM_ID_BYTES, 3, b"\x01")),
    ("lengths", "int8", "columns", body(Kind.ITEM_ID_BYTES, 6, b"\x3f")),
    ("lengths", "int8", "columns", body(Kind.TITLE_BYTES, 1, b"\x00")),
    ("lengths", "int8", "rising", body(Kind.ITEM_ID_BYTES, 2, b"\x21")),
    ("lengths", "int8", "rising", body(Kind.ITEM_ID_BYTES, 2, b"\x00")),
    ("lengths", "int8", "rising", body(Kind.ITEM_ID_BYTES, 1, b"\x17")),
    ("lengths", "int8", "rising", body(Kind.ITEM_ID_BYTES, 3, b"\x29")),
    ("lengths", "int8", "columns", body(Kind.ITEM_ID_BYTES, 12, struct.pack("<Q", 2729))),
    ("padding", "int8", "sliced", gap),
    ("padding", "int8", "sliced", body(Kind.TITLE_POINTERS, -1, b"\x01")),
    ("padding", "int8", "sliced", body(Kind.USER_ID_BYTES, -1, b"\x01")),
    ("padding", "int8", "sliced", body(Kind.ITEM_ID_INDEX, -1, b"\x01")),
    ("padding", "int8", "sliced", first_gap),
    ("checksum", "int8", "sliced", lambda data: data[:-1] + b"x"),
    ("pointers", "int8", "csr", body(Kind.ITEM_POINTERS, 0, u32(1))),
    ("pointers", "int8", "csr", body(Kind.ITEM_POINTERS, 4, u32(2**32 - 1))),
    ("pointers", "int8", "sliced", body(Kind.ITEM_POINTERS, 0, u32(1))),
    ("pointers", "int8", "sliced", body(Kind.USER_POINTERS, 8, u32(0))),
    ("pointers", "int8", "sliced", body(Kind.SEEN_POINTERS, 4, u32(2**31))),
    ("pointers", "int8", "sliced", body(Kind.ITEM_ID_POINTERS, 0, b"\x01")),
    ("pointers", "int8", "sliced", body(Kind.TITLE_POINTERS, 4, b"\x00\x00")),
    ("pointers", "int8", "rising", body(Kind.ITEM_ID_POINTERS, 0, b"\x01")),
    ("pointers", "int8", "rising", body(Kind.ITEM_ID_POINTERS, 2, b"\xff\xff")),
    ("pointers", "int8", "rising", first_step(0)),
    ("pointers", "int8", "rising", body(Kind.ITEM_ID_BYTES, 12, struct.pack("<Q", 3234))),
    ("columns", "int8", "sliced", body(Kind.ITEM_COLUMNS, 3, b"\xff")),
    ("columns", "int8", "csr", body(Kind.ITEM_COLUMNS, 0, b"\x0c")),
    ("columns", "int8", "sliced", swap_columns),
    ("lengths", "int8", "wide", lambda data: head(31, b"\x01")(head(24, u32(256))(data))),
    *(("columns", "int8", "sliced", damage) for damage in OUT_OF_ORDER),
    ("columns", "int8", "wide", body(Kind.ITEM_POINTERS, BASES, b"\x01")),
    ("columns", "int8", "wide", body(Kind.ITEM_POINTERS, BASES, 4 * b"\x14")),
    ("columns", "int4", "wide", body(Kind.ITEM_POINTERS, BASES, 4 * b"\x13")),
    ("pointers", "int8", "wide", body(Kind.ITEM_POINTERS, 4, u32(2**32 - 1))),
    ("padding", "int8", "wide", waiting_column),
    ("values", "int8", "csr", body(Kind.ITEM_VALUES, 0, b"\x80")),
    ("values", "int8", "csr", body(Kind.ITEM_VALUES, 0, b"\x00")),
    ("values", "int8", "sliced", body(Kind.ITEM_VALUES, 0, b"\x80")),
    ("values", "int4", "csr", body(Kind.ITEM_VALUES, 0, b"\x08")),
    ("values", "int4", "sliced", body(Kind.ITEM_VALUES, 0, b"\x88")),
    ("values", "f32", "csr", body(Kind.ITEM_VALUES, 0, f32(NAN))),
    ("values", "f32", "csr", body(Kind.ITEM_VALUES, 0, f32(-0.0))),
    ("values", "f16", "csr", body(Kind.USER_VALUES, 0, b"\x00\x7c")),
    ("padding", "int8", "sliced", body(Kind.ITEM_VALUES, 0, b"\x00")),
    ("scales", "int8", "sliced", body(Kind.ITEM_SCALES, 0, f32(INF))),
    ("scales", "int8", "sliced", body(Kind.ITEM_SCALES, 4, f32(0.0))),
    ("scales", "int8", "csr", body(Kind.ITEM_SCALES, 8, f32(NAN))),
    ("scales", "int8", "sliced", body(Kind.USER_SCALES, 0, f32(-1.0))),
    ("seen", "int8", "sliced", body(Kind.SEEN_ROWS, 0, u32(70))),
    ("seen", "int8", "sliced", body(Kind.SEEN_ROWS, 0, u32(69))),
    ("strings", "int8", "sliced", symbol(Kind.ITEM_ID_BYTES, 0, 0, 0)),
    ("strings", "int8", "sliced", symbol(Kind.ITEM_ID_BYTES, 0, 0xFFF, 0xEFF)),
    ("strings", "int8", "sliced", symbol(Kind.ITEM_ID_BYTES, 0, 0xEFF, 0xEFF)),
    ("strings", "int8", "sliced", symbol(Kind.TITLE_BYTES, 0, 0xFED, 0xEFF)),
    ("strings", "int8", "sliced", steps(33)),
    ("strings", "int8", "columns", columns(25)),
    ("strings", "int8", "columns", columns(39, 0, 0, 0, 0, 0)),
    ("strings", "int8", "columns", columns(letters=256)),
    ("strings", "int8", "columns", body(Kind.ITEM_ID_BYTES, 20, b"\xff\xff")),
    ("strings", "int8", "columns", body(Kind.ITEM_ID_BYTES, 20 + 4 * 10, b"\xff")),
    ("strings", "int8", "rising", first_moved),
    ("strings", "int8", "rising", first_step(25)),
    ("strings", "int8", "rising", body(Kind.ITEM_ID_BYTES, 2, b"\x17")),
    ("strings", "int8", "rising", body(Kind.ITEM_ID_BYTES, 20, b"\xff\xff")),
    ("strings", "int8", "rising", body(Kind.ITEM_ID_BYTES, 20 + 4 * 14, b"\xff")),
    ("ids", "int8", "rising", columns(letters=1)),
    ("padding", "int8", "rising", body(Kind.ITEM_ID_BYTES, -9, b"\xff")),
    ("padding", "int8", "rising", body(Kind.ITEM_ID_POINTERS, -1, b"\x01")),
    ("ids", "int8", "columns", columns(letters=1)),
    ("padding", "int8", "columns", body(Kind.ITEM_ID_BYTES, -9, b"\xff")),
    ("ids", "int8", "sliced", slots([70, *range(69)])),
    ("ids", "int8", "sliced", body(Kind.USER_ID_BYTES, 6, b"\x04")),
    ("ids", "int8", "sliced", slots([0, *range(69)])),
    ("ids", "int8", "sliced", slots(list(range(70)))),
    ("ids", "int8", "sliced", steps(0)),
    ("fold-in", "int8", "sliced", body(Kind.FOLD_WEIGHTS, 0, f32(NAN))),
    ("fold-in", "int8", "sliced", body(Kind.FOLD_MATRIX, 40, f32(INF))),
    *(("fold-in", "int8", "sliced", damage) for damage in BROKEN_RULES),
    ("metadata", "int8", "sliced", body(Kind.METADATA, 0, b"[")),
    ("metadata", "int8", "sliced", body(Kind.METADATA, 2, b"\x01")),
]


# The small file's tower: 3, 3 layers, hidden ones of 8 units.
DAMAGED_TOWERS: list[tuple[str, Damage]] = [
    ("lengths", rule(1, 4, 0, 1.0, 0.0)),
    ("lengths", rule(3, 1, 8, 0.0, 0.0)),
    ("lengths", rule(3, 9, 8, 0.0, 0.0)),
    ("lengths", rule(3, 3, 7, 0.0, 0.0)),
    ("lengths", rule(3, 3, 13, 0.0, 0.0)),
    ("lengths", rule(3, 3, 0, 0.0, 0.0)),
    ("fold-in", rule(3, 3, 8, 1.0, 0.0)),
    ("fold-in", rule(3, 3, 8, 0.0, 1.0)),
    ("fold-in", rule(3, 3, 8, 0.0, 0.0, 1.0)),
    ("fold-in", body(Kind.FOLD_TOWER, 0, f32(NAN))),
    ("fold-in", body(Kind.FOLD_TOWER, -4, f32(INF))),
]


@pytest.mark.parametrize(("promise", "damage"), DAMAGED_TOWERS)
@pytest.mark.parametrize("open_", [PackedFile.open, CoreRecommender.open], ids=["numpy", "core"])
def test_damaged_tower_is_refused(open_, promise, damage, tmp_path):
    path = tmp_path / "damaged.sd"
    write_small(path, tower=True)
    open_(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PackedFileError) as refused:
        open_(path)
    assert refused.value.promise == promise


@pytest.mark.parametrize(("promise", "values", "layout", "damage"), DAMAGED)
@pytest.mark.parametrize("open_", [PackedFile.open, CoreRecommender.open], ids=["numpy", "core"])
def test_damaged_file_is_refused(open_, promise, values, layout, damage, tmp_path):
    path = tmp_path / "damaged.sd"
    write_small(path, values=values, layout=layout)
    open_(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PackedFileError) as refused:
        open_(path)
    assert refused.value.promise == promise
    assert str(path) in str(refused.value)


def test_every_promise_of_the_document_is_tested():
    document = Path(__file__).parents[2] / "docs" / "format.md"
    names = re.findall(r"^\| \d+ \| `([a-z-]+)` \|", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) == len(set(names)) == 22
    assert set(names) == {promise for promise, *_ in DAMAGED}


def test_foreign_files_are_refused(tmp_path):
    for name, data in {
        "a.txt": b"hello, world" * 9,
        "b.npz": b"PK\x03\x04" + bytes(99),
        "c": bytes(1000),
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        for open_ in (PackedFile.open, CoreRecommender.open):
            with pytest.raises(PackedFileError, match="not a sparsedevice packed file") as refused:
                open_(path)
            assert refused.value.promise == "magic"
