"""Rows laid out in slots, so that a program of one loop, whatever the rows' lengths, scans them.

Rows are cut into blocks of equally many, the lanes. A slot is one entry of each lane of one block; a block
has as many slots as its longest row has entries, the others padded (column 0, value 0). The loop takes a slot
at a time. Packed files store the longest rows first, so that padding stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing.quantize import Rows

_LANES = (8_192, 4_096, 2_048, 1_024, 512, 256)
# What a slot and a block cost besides their entries, in entries: about as much time as their operators take.
_SLOT_COST, _BLOCK_COST = 256, 512


@dataclass(frozen=True, eq=False)
class Slots:
    """Rows in slots.

    Attributes:
        first: int64[n_blocks + 1], the first slot of each block, and the number of slots.
        columns: uint8 or uint16 [n_slots, lanes].
        values: [n_slots, lanes]: float32, float16 or int8.
    """

    first: NDArray[np.int64]
    columns: NDArray[np.uint8] | NDArray[np.uint16]
    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]

    @property
    def lanes(self) -> int:
        """Rows of one block."""
        return int(self.values.shape[1])

    @property
    def padded_rows(self) -> int:
        """Rows of all blocks, those of padding at the end included."""
        return (len(self.first) - 1) * self.lanes

    @property
    def width(self) -> int:
        """Slots of the block that has most."""
        return int(np.diff(self.first).max())


def lay_out(rows: Rows) -> Slots:
    """Lay rows out in slots, in blocks of the size that costs least; each block has at least one slot."""
    lengths = np.diff(rows.indptr)
    n = len(lengths)
    # Even, so that values of 4 bits fill bytes.
    sizes = {2 * -(-n // (2 * -(-n // most))) for most in _LANES}
    lanes = min(sorted(sizes), key=lambda size: _cost(lengths, size))
    first = np.concatenate(([0], np.cumsum(_widths(lengths, lanes))))
    owner = np.repeat(np.arange(n), lengths)
    slot = first[owner // lanes] + np.arange(rows.indptr[-1]) - rows.indptr[:-1][owner]
    columns = np.zeros((first[-1], lanes), np.uint8 if rows.dim <= 256 else np.uint16)
    values = np.zeros((first[-1], lanes), rows.values.dtype)
    columns[slot, owner % lanes] = rows.columns
    values[slot, owner % lanes] = rows.values
    return Slots(first, columns, values)


def pair_up(values: NDArray[Any]) -> NDArray[np.int8]:
    """Values within -7 ... 7 two in a byte: 16 times that of the upper lane, plus that of the lower.

    Args:
        values: int8[n_slots, lanes].

    Returns:
        int8[n_slots, lanes / 2].
    """
    low, high = np.split(values, 2, axis=1)
    pairs: NDArray[np.int8] = high * np.int8(16) + low
    return pairs


def _widths(lengths: NDArray[np.int64], lanes: int) -> NDArray[np.int64]:
    return np.maximum(np.maximum.reduceat(lengths, np.arange(0, len(lengths), lanes)), 1)


def _cost(lengths: NDArray[np.int64], lanes: int) -> int:
    widths = _widths(lengths, lanes)
    return int(widths.sum() * (lanes + _SLOT_COST) + len(widths) * _BLOCK_COST)
