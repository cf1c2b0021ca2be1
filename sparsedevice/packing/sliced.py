"""The sliced layout: 64 rows side by side, so that one instruction serves many rows.

A slice of ``L`` steps (the length of its longest row) holds ``64 * L`` entries, one byte of column id
each, in blocks: first ``L // 4`` blocks of four entries a row, then one of two if ``L & 2``, then one of
one if ``L & 1``. Within a block entry ``e`` of lane ``r`` lies at ``width * r + e``. Four bytes of one row
stand together because dot-product instructions (VPDPBUSD, SDOT) sum four bytes into one 32-bit lane.
Rows shorter than ``L`` end in padding: column 0, value 0.

Above 256 columns a byte counts from the *base* of its group of four steps, in units of 16 columns. A row that
has no entry within the 256 columns from there on waits, with padding, and ``L`` may be longer than any row.

int4 values lie in units of 128 entries (64 for a last block of one entry a row): byte ``j`` of a unit has
entry ``j`` in its low and entry ``j + half a unit`` in its high four bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing.format import BASE_COLUMNS, HALVED_DIM, MAX_BYTE_DIM, SLICE_ROWS
from sparsedevice.packing.quantize import Rows, row_blocks

#: Steps that share a base.
BASE_STEPS = 4
#: Rows are sorted by their scale without these last bits: in steps of 14 to 25 %.
BUCKET_BITS = 21


@dataclass(frozen=True, eq=False)
class Slices:
    """Rows of integers laid out in slices.

    Attributes:
        pointers: uint32[n_slices + 1], first step of each slice.
        columns: uint8[64 * steps].
        values: int8[64 * steps].
        bases: uint8[steps], in units of 16 columns; empty up to 256 columns.
    """

    pointers: NDArray[np.uint32]
    columns: NDArray[np.uint8]
    values: NDArray[np.int8]
    bases: NDArray[np.uint8]


def sort_keys(rows: Rows) -> list[NDArray[np.int64]]:
    """What rows up to 256 columns are sorted by, the most important first; none of it falls along the file.

    Length, longest first; up to 64 columns the class, which says in which half of them look-ups are; the
    scale's upper bits. So neighbours are alike, and kernels learn from a slice's ends what they need.
    """
    lengths = np.diff(rows.indptr)
    keys = [-lengths]
    if rows.dim <= HALVED_DIM:
        fourth = _column_at(rows, np.full(len(lengths), 3), 0)
        rest = _column_at(rows, np.where(lengths % 4 > 0, lengths // 4 * 4, lengths), HALVED_DIM - 1)
        half = HALVED_DIM // 2
        keys.append(np.where(rest < half, 0, np.where(fourth < half, 1, 2)))
    return [*keys, rows.scales.astype("<f4").view("<u4").astype(np.int64) >> BUCKET_BITS]


def _column_at(rows: Rows, place: NDArray[np.int64], missing: int) -> NDArray[np.int64]:
    """Of each row the column at one place, or what is given where it has none."""
    found = np.full(len(place), missing, np.int64)
    there = np.flatnonzero(place < np.diff(rows.indptr))
    found[there] = rows.columns[rows.indptr[there] + place[there]]
    return found


def to_slices(rows: Rows) -> Slices:
    """Lay rows out, each slice with as few steps as its rows need."""
    lengths = np.diff(rows.indptr)
    padded = np.zeros(-(-len(lengths) // SLICE_ROWS) * SLICE_ROWS, np.int64)
    padded[: len(lengths)] = lengths
    steps = padded.reshape(-1, SLICE_ROWS).max(axis=1)
    places: NDArray[np.uint16] | None = None
    bases = np.empty(0, np.uint8)
    if rows.dim > MAX_BYTE_DIM:
        steps, places, bases = _windows(rows)
    pointers = np.concatenate(([0], np.cumsum(steps)))
    columns = np.zeros(SLICE_ROWS * pointers[-1], np.uint8)
    values = np.zeros(SLICE_ROWS * pointers[-1], np.int8)
    if places is None:
        from sparsedevice.runtime import _core

        narrow = rows.columns if rows.columns.dtype == np.uint8 else rows.columns.astype(np.int32, copy=False)
        indptr = np.ascontiguousarray(rows.indptr, np.int64)
        _core.to_slices(indptr, narrow, rows.values, pointers.astype(np.uint32), columns, values)
        return Slices(pointers.astype(np.uint32), columns, values, bases)
    for first, last in row_blocks(len(lengths)):
        part = slice(int(rows.indptr[first]), int(rows.indptr[last]))
        owner = np.repeat(np.arange(first, last), lengths[first:last])
        place = places[part].astype(np.int64)
        base = BASE_COLUMNS * bases[pointers[owner // SLICE_ROWS] + place].astype(np.int64)
        at = entry_offsets(pointers, owner, place)
        columns[at] = rows.columns[part] - base
        values[at] = rows.values[part]
    return Slices(pointers.astype(np.uint32), columns, values, bases)


def _windows(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.uint8]]:
    """Steps of each slice, the step of each entry, and the base of each step.

    Four steps after four steps, the base is that of the lowest column that a row of the slice still has, and
    each row gives up to four entries of the 256 columns from there on.
    """
    n_rows = len(rows.indptr) - 1
    n_slices = -(-n_rows // SLICE_ROWS)
    ahead = np.zeros(n_slices * SLICE_ROWS, np.int64)
    ahead[:n_rows] = rows.indptr[:-1]
    ends = np.zeros_like(ahead)
    ends[:n_rows] = rows.indptr[1:]
    last = max(len(rows.columns) - 1, 0)
    far = np.int64(1 << 62)  # damaged rows may name any column
    steps = np.zeros(n_slices, np.int64)
    places = np.zeros(len(rows.columns), np.uint16)
    groups: list[NDArray[np.uint8]] = []
    while (ahead < ends).any():
        going = np.where(ahead < ends, rows.columns[np.minimum(ahead, last)], far)
        lowest = going.reshape(-1, SLICE_ROWS).min(axis=1)
        base = np.where(lowest < far, lowest // BASE_COLUMNS, 0)
        limit = np.repeat(BASE_COLUMNS * base + MAX_BYTE_DIM, SLICE_ROWS)
        given = np.zeros_like(ahead)
        for _ in range(BASE_STEPS):
            row = np.flatnonzero((ahead < ends) & (rows.columns[np.minimum(ahead, last)] < limit))
            places[ahead[row]] = BASE_STEPS * len(groups) + given[row]
            ahead[row] += 1
            given[row] += 1
        most = given.reshape(-1, SLICE_ROWS).max(axis=1)
        steps = np.where(most > 0, BASE_STEPS * len(groups) + most, steps)
        groups.append(base.astype(np.uint8))
    if not groups:
        return steps, places, np.empty(0, np.uint8)
    owner = np.repeat(np.arange(n_slices), steps)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(steps) - steps, steps)
    return steps, places, np.stack(groups)[place // BASE_STEPS, owner]


def entry_offsets(
    pointers: NDArray[np.int64], row: NDArray[np.int64], place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where entry ``place`` of ``row`` lies in the columns (all arrays int64, of one length)."""
    slice_, lane = row // SLICE_ROWS, row % SLICE_ROWS
    steps = pointers[slice_ + 1] - pointers[slice_]
    quads, pairs = steps // 4 * 4, steps & 2
    in_quad = SLICE_ROWS * (place // 4 * 4) + 4 * lane + place % 4
    in_pair = SLICE_ROWS * quads + 2 * lane + (place - quads)
    in_single = SLICE_ROWS * (quads + pairs) + lane
    inside = np.where(place < quads, in_quad, np.where(place < quads + pairs, in_pair, in_single))
    return SLICE_ROWS * pointers[slice_] + inside


def entries(slices: Slices, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int8]]:
    """Row, column and value of each entry of the first ``n_rows`` rows, in order; padding has the value 0."""
    starts = slices.pointers.astype(np.int64)
    steps = np.repeat(np.diff(starts), SLICE_ROWS)[:n_rows]
    row = np.repeat(np.arange(n_rows), steps)
    place = np.arange(len(row)) - np.repeat(np.cumsum(steps) - steps, steps)
    at = entry_offsets(starts, row, place)
    columns = slices.columns[at].astype(np.int32)
    if len(slices.bases):
        columns += BASE_COLUMNS * slices.bases[starts[row // SLICE_ROWS] + place].astype(np.int32)
    return row, columns, slices.values[at]


def from_slices(slices: Slices, n_rows: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int8]]:
    """Back to CSR: indptr int64[n_rows + 1], columns int32[nnz], values int8[nnz]; padding left out."""
    row, columns, values = entries(slices, n_rows)
    kept = values != 0
    lengths = np.bincount(row[kept], minlength=n_rows)
    return np.concatenate(([0], np.cumsum(lengths))), columns[kept], values[kept]


def pack_nibbles(values: NDArray[np.int8], pointers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Sliced int4 values as bytes, uint8[32 * steps]."""
    from sparsedevice.runtime import _core

    packed = np.empty(32 * int(pointers[-1]), np.uint8)
    _core.pack_nibbles(values, np.ascontiguousarray(pointers, np.uint32), packed)
    return packed


def unpack_nibbles(packed: NDArray[np.uint8], pointers: NDArray[np.uint32]) -> NDArray[np.int8]:
    """Sliced int4 values as int8[64 * steps]."""
    low, high = _nibble_entries(pointers)
    values = np.zeros(2 * len(packed), np.int8)
    values[low] = sign_extend(packed, 0)
    values[high] = sign_extend(packed, 4)
    return values


def sign_extend(packed: NDArray[np.uint8], shift: int) -> NDArray[np.int8]:
    """The four bits of each byte from ``shift`` (0 or 4) on, as a signed number."""
    nibbles = (packed >> np.uint8(shift)) & np.uint8(15)
    signed: NDArray[np.int8] = (nibbles ^ np.uint8(8)).astype(np.int8) - np.int8(8)
    return signed


def join_nibbles(low: NDArray[np.int8], high: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two numbers of -8 … 7 in each byte."""
    packed: NDArray[np.uint8] = (low.view(np.uint8) & np.uint8(15)) | (high.view(np.uint8) << np.uint8(4))
    return packed


def _nibble_entries(pointers: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each byte of the packed values: the entry in its low and the entry in its high bits."""
    starts = pointers.astype(np.int64)
    steps = np.diff(starts)
    slice_ = np.repeat(np.arange(len(steps)), 32 * steps)
    inside = np.arange(32 * starts[-1]) - 32 * starts[slice_]
    half = np.where(inside < 32 * (steps[slice_] & ~1), 64, 32)
    low = 64 * starts[slice_] + inside // half * 2 * half + inside % half
    return low, low + half
