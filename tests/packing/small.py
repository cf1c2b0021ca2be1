"""A small file that has every section, and ways to damage it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import FoldIn, PackedInfo, Ridge, Steps, Tower, pack
from sparsedevice.packing.format import ENTRY_BYTES, HEADER_BYTES, Kind, decode_head

N_ITEMS, N_USERS, DIM = 70, 5, 12
#: Of the layout "wide": slices whose columns count from bases.
WIDE_DIM = 320
ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def code(i: int) -> str:
    """An id like ASINs, another for each number below 36^8."""
    number = i * 1_234_567_891_013 % 36**8
    return "B0" + "".join(ALNUM[number // 36**place % 36] for place in range(8))


def serial(i: int) -> str:
    """A number of seven digits or more, rising where ``i`` runs through multiples of 37 modulo 4001."""
    return f"{i * 3893 % 4001 * 9999:07}"


def rising(i: int) -> str:
    """An id of one length that rises with ``i`` up to 8,000, of more letters than one number holds."""
    return f"{12 * i + 4000:05}-{code(i)[2:]}"


def item_id(i: int, layout: str = "auto") -> str:
    """Id of an item of the small file."""
    if layout == "rising":
        return rising(i)
    return code(i) if layout == "columns" else f"item-{i}"


def user_id(i: int, layout: str = "auto") -> str:
    """Id of a user of the small file."""
    return f"{100 - i:04}" if layout == "columns" else str(100 - i)


def title(i: int, layout: str = "auto") -> str:
    """Title of an item of the small file."""
    return f"Größe {i:02}" if layout == "columns" else "" if i % 5 == 0 else f"Größe {i} 名"


def small_tables(dim: int = DIM) -> tuple[sp.csr_array, sp.csr_array, sp.csr_array]:
    """Items, users and seen lists, the same on every machine."""
    row, column = np.indices((N_ITEMS, dim))
    shift = row if dim == DIM else 11 * (row % 7)  # rows that share columns
    items = ((row * 7 + column * 5) % 11 - 5) * ((shift + column) % (dim // 4) == 0)
    row, column = np.indices((N_USERS, dim))
    shift, every = (row, 2) if dim == DIM else (11 * row, dim // 4)
    users = ((row * 5 + column * 3) % 7 - 3) * ((shift + column) % every == 0)
    seen = np.add.outer(np.arange(N_USERS), np.arange(N_ITEMS)) % 13 == 0
    return sp.csr_array(items.astype(np.float32)), sp.csr_array(users.astype(np.float32)), sp.csr_array(seen)


def write_small(
    path: Path,
    *,
    values: str = "int8",
    layout: str = "auto",
    similarity: str = "cosine",
    tower: bool = False,
) -> PackedInfo:
    """Write the small file: with a tower, else with steps for cosine and ridge for dot.

    With the layout "wide" it is slices of a wide table, without a matrix; with "columns" slices, item ids
    and titles of one length, and user ids with zeros before them; with "rising" slices, and item ids whose
    first numbers lie in blocks.
    """
    wide = layout == "wide"
    items, users, seen = small_tables(WIDE_DIM if wide else DIM)
    weights = (1 + np.arange(N_ITEMS) % 3).astype(np.float32)
    matrix = None if wide else (np.eye(DIM) + np.eye(DIM, k=1) / 4).astype(np.float32)
    rule: Ridge | Steps | Tower = Steps(4, 16, 1.0, 8.0, 1.25) if similarity == "cosine" else Ridge(2.0, 4)
    if tower:
        rule = small_tower(WIDE_DIM if wide else DIM)
    return pack(
        path,
        items,
        item_ids=[item_id(i, layout) for i in range(N_ITEMS)],
        titles=[title(i, layout) for i in range(N_ITEMS)],
        users=users,
        user_ids=[user_id(i, layout) for i in range(N_USERS)],
        seen=seen,
        values=values,  # type: ignore[arg-type]
        layout="sliced" if layout in ("wide", "columns", "rising") else layout,
        similarity=similarity,  # type: ignore[arg-type]
        fold_in=FoldIn(weights, matrix, rule),
        metadata={"model": "mf", "note": '"quoted" \\ é'},
    )


def small_tower(dim: int = DIM) -> Tower:
    """Three layers, the hidden ones of 8 units, the same on every machine."""

    def layer(out: int, into: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        row, column = np.indices((out, into))
        numbers = ((row * 3 + column * 5) % 7 - 3) / 4
        return numbers.astype(np.float32), (np.arange(out) % 3 / 8).astype(np.float32)

    return Tower((layer(8, dim), layer(8, 8), layer(dim, 8)))


def with_checksums(data: bytearray) -> bytes:
    """The same bytes with all checksums made right, so that a deeper check must find the damage."""
    data = bytearray(data)
    n_sections = int.from_bytes(data[56:60], "little")
    if n_sections > len(Kind):
        raise PackedFileError("sections", f"{n_sections} sections")
    for i in range(n_sections):
        entry = HEADER_BYTES + ENTRY_BYTES * i
        offset, length = struct.unpack_from("<2Q", data, entry + 8)
        data[entry + 4 : entry + 8] = zlib.crc32(data[offset : offset + length]).to_bytes(4, "little")
    return with_header_checksum(data)


def with_header_checksum(data: bytearray) -> bytes:
    """The same bytes with the checksum of header and table made right."""
    data = bytearray(data)
    end = HEADER_BYTES + ENTRY_BYTES * int.from_bytes(data[56:60], "little")
    data[60:64] = bytes(4)
    data[60:64] = zlib.crc32(data[:end]).to_bytes(4, "little")
    return bytes(data)


def place(data: bytes, kind: Kind) -> int:
    """Offset of a section."""
    return decode_head(memoryview(data))[1][kind].offset


def patched(data: bytes, kind: Kind, at: int, new: bytes) -> bytes:
    """``new`` written at byte ``at`` of a section, from its end if negative; checksums made right."""
    damaged = bytearray(data)
    section = decode_head(memoryview(data))[1][kind]
    start = section.offset + at % section.length
    damaged[start : start + len(new)] = new
    return with_checksums(damaged)
