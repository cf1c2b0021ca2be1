"""Every promise of docs/format.md that header and section table alone do not show, checked in numpy."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.bits import unpack_bits
from sparsedevice.packing.format import (
    BASE_COLUMNS,
    ENTRY_BYTES,
    HEADER_BYTES,
    MAX_BYTE_DIM,
    MAX_STRING_BYTES,
    SLICE_ROWS,
    Kind,
    slot_bits,
)
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.reader import PackedFile, parse_metadata
from sparsedevice.packing.sliced import BASE_STEPS, Slices, entries, sort_keys
from sparsedevice.packing.strings import first_slot


def verify_file(packed: PackedFile) -> None:
    """Check all bytes.

    Raises:
        PackedFileError: naming the first broken promise.
    """
    _check_padding(packed)
    for kind, section in packed.sections.items():
        if zlib.crc32(packed.section(kind).data) != section.crc32:
            raise PackedFileError("checksum", f"section {kind.name} does not match its checksum")
    if packed.layout == "sliced":
        _check_slices(packed)
    else:
        _check_pointers(packed, Kind.ITEM_POINTERS, packed.nnz)
        _check_rows(packed, packed.item_rows, "item")
    _check_scales(packed, Kind.ITEM_SCALES)
    _check_order(packed)
    if packed.n_users:
        _check_pointers(packed, Kind.USER_POINTERS, packed.header.nnz_users)
        if packed.user_rows is not None:
            _check_rows(packed, packed.user_rows, "user")
        _check_scales(packed, Kind.USER_SCALES)
        _check_vocabulary(packed, Kind.USER_ID_POINTERS)
    if Kind.SEEN_ROWS in packed.sections:
        _check_seen(packed)
    _check_vocabulary(packed, Kind.ITEM_ID_POINTERS)
    if Kind.TITLE_BYTES in packed.sections:
        _check_strings(packed, Kind.TITLE_POINTERS)
    for kind in (Kind.FOLD_WEIGHTS, Kind.FOLD_MATRIX, Kind.FOLD_TOWER):
        if not np.isfinite(packed.section(kind, "<f4")).all():
            raise PackedFileError("fold-in", f"section {kind.name} holds a number that is not finite")
    packed.fold_in  # noqa: B018 (reads the rule, which checks it)
    packed.network  # noqa: B018 (reads the network, which checks it)
    parse_metadata(packed.section(Kind.METADATA).tobytes())


def _check_padding(packed: PackedFile) -> None:
    end = HEADER_BYTES + ENTRY_BYTES * len(packed.sections)
    for section in packed.sections.values():
        if packed.data[end : section.offset].any():
            raise PackedFileError(
                "padding", f"bytes {end} to {section.offset}, before a section, are not all zero"
            )
        end = section.offset + section.length
    if packed.values == "int4":
        for kind, count in ((Kind.ITEM_VALUES, packed.nnz), (Kind.USER_VALUES, packed.header.nnz_users)):
            nibbles = packed.section(kind)
            if (packed.layout == "csr" or kind is Kind.USER_VALUES) and count % 2 and nibbles[-1] >> 4:
                raise PackedFileError("padding", f"the last four bits of section {kind.name} are not zero")


def _check_pointers(packed: PackedFile, kind: Kind, total: int) -> NDArray[np.int64]:
    pointers = packed.section(kind, "<u4").astype(np.int64)
    _check_rise(pointers, kind, total)
    return pointers


def _check_rise(pointers: NDArray[np.int64], kind: Kind, total: int) -> None:
    if pointers[0] != 0 or pointers[-1] != total:
        raise PackedFileError(
            "pointers", f"{kind.name} runs from {pointers[0]} to {pointers[-1]}, not 0 to {total}"
        )
    falls = np.flatnonzero(np.diff(pointers) < 0)
    if len(falls):
        raise PackedFileError("pointers", f"{kind.name} falls after row {falls[0]}")


def _check_rows(packed: PackedFile, rows: Rows, name: str) -> None:
    if len(rows.columns) and int(rows.columns.max()) >= packed.dim:
        raise PackedFileError("columns", f"a column of the {name} rows is not below {packed.dim}")
    owner = np.repeat(np.arange(len(rows.scales)), np.diff(rows.indptr))
    rising = (np.diff(rows.columns) > 0) | (np.diff(owner) > 0)
    if not rising.all():
        raise PackedFileError(
            "columns", f"{name} row {owner[np.flatnonzero(~rising)[0]]} has columns out of order"
        )
    _check_values(packed, rows.values, name)


def _check_values(packed: PackedFile, values: NDArray[np.generic], name: str) -> None:
    bad = ~np.isfinite(values) | (values == 0)
    if packed.values in ("int8", "int4"):
        bad |= values == (-128 if packed.values == "int8" else -8)
    if bad.any():
        raise PackedFileError(
            "values", f"entry {np.flatnonzero(bad)[0]} of the {name} rows has a forbidden value"
        )


def _check_scales(packed: PackedFile, kind: Kind) -> None:
    scales = packed.section(kind, "<f4")
    bad = ~(np.isfinite(scales) & (scales > 0))
    if bad.any():
        raise PackedFileError(
            "scales", f"{kind.name} of row {np.flatnonzero(bad)[0]} is not finite and above 0"
        )


def _check_slices(packed: PackedFile) -> None:
    pointers = packed.slice_pointers.astype(np.int64)
    _check_rise(pointers, Kind.ITEM_POINTERS, len(packed.section(Kind.ITEM_COLUMNS)) // SLICE_ROWS)
    steps = np.diff(pointers)
    if len(steps) and int(steps.max()) > packed.dim:
        raise PackedFileError("pointers", f"a slice has {steps.max()} steps, more than {packed.dim} columns")
    slices = packed.slices
    wide = packed.dim > MAX_BYTE_DIM
    if wide:
        _check_bases(packed, slices)
    n_lanes = SLICE_ROWS * packed.header.n_slices
    row, columns, values = entries(slices, n_lanes)
    real = values != 0
    if slices.columns[slices.values == 0].any():
        raise PackedFileError("padding", "padding inside a slice has a column that is not 0")
    follows = np.diff(row) == 0
    if not wide and (follows & ~real[:-1] & real[1:]).any():
        raise PackedFileError("padding", "a row of a slice goes on after its padding")
    if real[row >= packed.n_items].any():
        raise PackedFileError("padding", "the rows after the last item are not empty")
    if int(real.sum()) != packed.nnz:
        raise PackedFileError(
            "values", f"the slices hold {int(real.sum())} entries, the header says {packed.nnz}"
        )
    counts = np.bincount(row[real], minlength=n_lanes)
    longest = counts.reshape(-1, SLICE_ROWS).max(axis=1)
    if not wide and (longest != steps).any():
        raise PackedFileError(
            "pointers", f"slice {np.flatnonzero(longest != steps)[0]} has more steps than its rows"
        )
    indptr = np.concatenate(([0], np.cumsum(counts)))
    scales = packed.section(Kind.ITEM_SCALES, "<f4")
    _check_rows(packed, Rows(indptr, columns[real], values[real], scales, packed.dim), "item")


def _check_order(packed: PackedFile) -> None:
    if not packed.header.flags:
        return
    keys = np.stack(sort_keys(packed.item_rows), axis=1)
    step = np.diff(keys, axis=0)
    first = np.argmax(step != 0, axis=1)
    falls = np.flatnonzero(step[np.arange(len(step)), first] < 0)
    if len(falls):
        raise PackedFileError("columns", f"item row {falls[0] + 1} does not stand in the order of slices")


def _check_bases(packed: PackedFile, slices: Slices) -> None:
    starts = slices.pointers.astype(np.int64)
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    step = np.arange(len(owner))
    first = step - (step - starts[owner]) % BASE_STEPS
    bad = (slices.bases != slices.bases[first]) | (BASE_COLUMNS * slices.bases.astype(np.int64) >= packed.dim)
    if bad.any():
        raise PackedFileError(
            "columns",
            f"the base of step {np.flatnonzero(bad)[0]} is not its group's or not below {packed.dim}",
        )


def _check_seen(packed: PackedFile) -> None:
    pointers = _check_pointers(packed, Kind.SEEN_POINTERS, packed.header.nnz_seen)
    rows = packed.section(Kind.SEEN_ROWS, "<u4").astype(np.int64)
    owner = np.repeat(np.arange(packed.n_users), np.diff(pointers))
    if len(rows) and int(rows.max()) >= packed.n_items:
        raise PackedFileError("seen", f"a seen list names row {rows.max()} of {packed.n_items}")
    if not ((np.diff(rows) > 0) | (np.diff(owner) > 0)).all():
        raise PackedFileError("seen", "a seen list is not in increasing order")


def _check_strings(packed: PackedFile, first: Kind) -> list[bytes]:
    coded = packed.coded(first)
    strings = coded.all().raw()
    for row, raw in enumerate(strings):
        if len(raw) > MAX_STRING_BYTES:
            raise PackedFileError("strings", f"string {row} of {first.name} has {len(raw)} bytes")
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            raise PackedFileError("strings", f"string {row} of {first.name} is not UTF-8") from None
    n_blocks = -(-coded.n // coded.head.block)
    _check_rest(coded.starts, n_blocks * coded.head.start_bits, first)
    _check_rest(coded.stream, coded.head.bits, Kind(first + 1))
    return strings


def _check_rest(data: NDArray[np.uint8], bits: int, kind: Kind) -> None:
    if int(data[bits // 8]) >> bits % 8 or data[bits // 8 + 1 :].any():
        raise PackedFileError("padding", f"the bits after the last one of section {kind.name} are not zero")


def _check_vocabulary(packed: PackedFile, first: Kind) -> None:
    ids = _check_strings(packed, first)
    n, width = len(ids), slot_bits(len(ids))
    index = packed.section(Kind(first + 2))
    slots = int(index[:4].view("<u4")[0])
    rows = unpack_bits(index[4:], np.arange(slots) * width, width)
    filled = np.flatnonzero(rows != (1 << width) - 1)
    if len(filled) != n or (np.sort(rows[filled]) != np.arange(n)).any():
        raise PackedFileError("ids", f"the index of {first.name} does not hold each row once")
    _check_rest(index[4:], slots * width, Kind(first + 2))
    if len(set(ids)) != n:
        raise PackedFileError("ids", f"an id of {first.name} stands twice")
    place = np.empty(n, np.int64)
    place[rows[filled]] = filled
    begin = np.fromiter((first_slot(raw, n) for raw in ids), np.int64, n)
    empty_before = np.concatenate(([0], np.cumsum(rows == (1 << width) - 1)))
    bad = (place < begin) | (empty_before[place] != empty_before[np.minimum(begin, slots)])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PackedFileError(
            "ids", f"the index of {first.name} does not lead from {ids[row]!r} to row {row}"
        )
