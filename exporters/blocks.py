"""Rows cut into blocks of fixed width, so that a graph of standard operators can scan them.

Rows are cut into blocks of equally many. Neighbouring blocks form a few groups; within a group rows are
padded to its longest one (column 0, value 0). One block is what a graph works on at a time: the table is
never expanded. Packed files store the longest rows first, so that padding stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing.quantize import Rows

#: Rows of a block in a large table: the operators' own overhead vanishes, and the block stays in cache.
BLOCK_ROWS = 2_048
_MIN_BLOCK_ROWS = 256
_MIN_BLOCKS = 16
MAX_GROUPS = 12
# What one more group costs, in entries: about as much time as its operators take to start.
_GROUP_COST = 4_096


@dataclass(frozen=True, eq=False)
class Group:
    """Neighbouring blocks, padded to one width.

    Attributes:
        start: first row.
        columns: uint8 or uint16 [n_blocks, block_rows, width].
        values: [n_blocks, block_rows, width]: float32, float16 or int8.
    """

    start: int
    columns: NDArray[np.uint8] | NDArray[np.uint16]
    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]

    @property
    def block_rows(self) -> int:
        """Rows of one block."""
        return int(self.values.shape[1])

    @property
    def n_rows(self) -> int:
        """Rows of the group; in the last group the rows of padding at the end count too."""
        return int(self.values.shape[0] * self.values.shape[1])

    @property
    def width(self) -> int:
        """Entries of one row, padding included."""
        return int(self.values.shape[2])


def cut(rows: Rows, max_groups: int = MAX_GROUPS) -> list[Group]:
    """Cut rows into at most ``max_groups`` groups of blocks with little padding.

    All groups have the same ``block_rows``; only the last block of all ends in rows of padding.
    """
    lengths = np.diff(rows.indptr)
    n = len(lengths)
    block_rows = min(BLOCK_ROWS, max(_MIN_BLOCK_ROWS, -(-n // _MIN_BLOCKS)), n)
    widths = np.maximum(np.maximum.reduceat(lengths, np.arange(0, n, block_rows)), 1)
    bounds = _bounds(widths, block_rows, max_groups)
    return [_group(rows, a, b - a, block_rows) for a, b in pairwise(bounds)]


def _bounds(widths: NDArray[np.int64], block_rows: int, max_groups: int) -> list[int]:
    """Blocks at which groups begin, and the number of blocks: fewest entries, groups' own cost counted."""
    n = len(widths)
    # cost[e]: least cost of the blocks before e; each round allows one more group.
    cost = np.concatenate(([0.0], np.full(n, np.inf)))
    rounds: list[NDArray[np.int64]] = []
    for _ in range(max_groups):
        better, origin = cost.copy(), np.full(n + 1, -1)
        for end in range(1, n + 1):
            widest = np.maximum.accumulate(widths[:end][::-1])[::-1]
            through = cost[:end] + widest * (block_rows * np.arange(end, 0, -1)) + _GROUP_COST
            best = int(np.argmin(through))
            if through[best] < better[end]:
                better[end], origin[end] = through[best], best
        rounds.append(origin)
        cost = better
    bounds = [n]
    for origin in reversed(rounds):
        if origin[bounds[-1]] >= 0:
            bounds.append(int(origin[bounds[-1]]))
    return bounds[::-1]


def _group(rows: Rows, first_block: int, n_blocks: int, block_rows: int) -> Group:
    start = first_block * block_rows
    indptr = rows.indptr[start : start + n_blocks * block_rows + 1]
    lengths = np.diff(indptr)
    width = max(int(lengths.max()), 1)
    part = slice(int(indptr[0]), int(indptr[-1]))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(part.stop - part.start) - (indptr[:-1] - indptr[0])[owner]
    columns = np.zeros((n_blocks * block_rows, width), np.uint8 if rows.dim <= 256 else np.uint16)
    values = np.zeros((n_blocks * block_rows, width), rows.values.dtype)
    columns[owner, place] = rows.columns[part]
    values[owner, place] = rows.values[part]
    shape = (n_blocks, block_rows, width)
    return Group(start, columns.reshape(shape), values.reshape(shape))
