"""The sliced layout: 64 rows side by side, so that one instruction serves many rows.

A slice of ``L`` steps (the length of its longest row) holds ``64 * L`` entries, one byte of column id
each, in blocks: first ``L // 4`` blocks of four entries a row, then one of two if ``L & 2``, then one of
one if ``L & 1``. Within a block entry ``e`` of lane ``r`` lies at ``width * r + e``. Four bytes of one row
stand together because dot-product instructions (VPDPBUSD, SDOT) sum four bytes into one 32-bit lane.
Rows shorter than ``L`` end in padding: column 0, value 0.

int4 values lie in units of 128 entries (64 for a last block of one entry a row): byte ``j`` of a unit has
entry ``j`` in its low and entry ``j + half a unit`` in its high four bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing.format import SLICE_ROWS
from sparsedevice.packing.quantize import Rows, row_blocks


def to_slices(rows: Rows) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.int8]]:
    """Pointers uint32[n_slices + 1] in steps, columns uint8[64 * steps], values int8[64 * steps]."""
    lengths = np.diff(rows.indptr)
    n_slices = -(-len(lengths) // SLICE_ROWS)
    padded = np.zeros(n_slices * SLICE_ROWS, np.int64)
    padded[: len(lengths)] = lengths
    steps = padded.reshape(n_slices, SLICE_ROWS).max(axis=1)
    pointers = np.concatenate(([0], np.cumsum(steps)))
    columns = np.zeros(SLICE_ROWS * pointers[-1], np.uint8)
    values = np.zeros(SLICE_ROWS * pointers[-1], np.int8)
    for first, last in row_blocks(len(lengths)):
        part = slice(int(rows.indptr[first]), int(rows.indptr[last]))
        owner = np.repeat(np.arange(first, last), lengths[first:last])
        place = np.arange(part.start, part.stop) - rows.indptr[owner]
        at = entry_offsets(pointers, owner, place)
        columns[at] = rows.columns[part]
        values[at] = rows.values[part]
    return pointers.astype(np.uint32), columns, values


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


def from_slices(
    pointers: NDArray[np.uint32], columns: NDArray[np.uint8], values: NDArray[np.int8], n_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int8]]:
    """Back to CSR: indptr int64[n_rows + 1], columns int32[nnz], values int8[nnz]; padding left out."""
    starts = pointers.astype(np.int64)
    steps = np.repeat(np.diff(starts), SLICE_ROWS)[:n_rows]
    row = np.repeat(np.arange(n_rows), steps)
    place = np.arange(len(row)) - np.repeat(np.cumsum(steps) - steps, steps)
    at = entry_offsets(starts, row, place)
    kept = values[at] != 0
    lengths = np.bincount(row[kept], minlength=n_rows)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    return indptr, columns[at][kept].astype(np.int32), values[at][kept]


def pack_nibbles(values: NDArray[np.int8], pointers: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Sliced int4 values as bytes, uint8[32 * steps]."""
    starts = pointers.astype(np.int64)
    packed = np.empty(32 * starts[-1], np.uint8)
    for first, last in row_blocks(len(starts) - 1, 1024):
        low, high = _nibble_entries(pointers[first : last + 1] - pointers[first])
        own = values[64 * starts[first] : 64 * starts[last]]
        packed[32 * starts[first] : 32 * starts[last]] = join_nibbles(own[low], own[high])
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
