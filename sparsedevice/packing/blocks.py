"""Numbers in blocks of 16: the first, then differences; see docs/format.md, "Numbers" and "Columns"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.bits import bit_bytes, bits_at, pack_bits, unpack_bits

NUMBER_BLOCK = 16
_STEP_BITS = 6


@dataclass(frozen=True)
class NumberBlocks:
    """The numbers of a list, and where the bits lie that follow a block for each of them.

    Attributes:
        starts: bytes of the starts.
        stream: bytes of the codes.
        n: numbers.
        start_bits: bits of a start.
        width: bits of a number.
        rest: bits that follow for each.
        bits: of all codes.
    """

    starts: NDArray[np.uint8]
    stream: NDArray[np.uint8]
    n: int
    start_bits: int
    width: int
    rest: int
    bits: int

    def one(self, row: int) -> tuple[int, int]:
        """The number of a row, and the bit at which its rest begins."""
        block, place = divmod(row, NUMBER_BLOCK)
        at = bits_at(self.starts, block * self.start_bits, self.start_bits)
        number, step, more = bits_at(self.stream, at, self.width), 0, self._more(block)
        at += self.width
        if more:
            step = bits_at(self.stream, at, _STEP_BITS)
            at += _STEP_BITS
            number += sum(bits_at(self.stream, at + i * step, step) for i in range(place))
        return number & (1 << self.width) - 1, at + more * step + place * self.rest

    def _more(self, block: int) -> int:
        """Numbers of a block behind its first one."""
        return min(NUMBER_BLOCK, self.n - NUMBER_BLOCK * block) - 1

    def all(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same of all rows: int64[n] each.

        Raises:
            PackedFileError: ``pointers`` or ``strings`` if starts or codes do not make them.
        """
        blocks = np.arange(-(-self.n // NUMBER_BLOCK))
        at = unpack_bits(self.starts, blocks * self.start_bits, self.start_bits)
        counts = np.minimum(NUMBER_BLOCK, self.n - NUMBER_BLOCK * blocks) - 1
        first = at + self.width + _STEP_BITS * (counts > 0)
        if (first > self.bits).any():
            raise PackedFileError("pointers", "a block of numbers begins beyond the end")
        steps = np.where(counts > 0, unpack_bits(self.stream, at + self.width, _STEP_BITS), 0)
        rests = first + counts * steps
        ends = rests + (counts + 1) * self.rest
        moved, wide = at != np.concatenate(([0], ends[:-1])), steps > self.width
        bad = int(np.argmax(moved | wide))
        if wide[bad] and not moved[bad]:
            raise PackedFileError("strings", f"a block of numbers has steps of {steps[bad]} bits")
        if moved[bad] or ends[-1] != self.bits:
            raise PackedFileError("pointers", "blocks of numbers do not begin where the ones before end")
        number = np.zeros((len(blocks), NUMBER_BLOCK), np.int64)
        number[:, 0] = unpack_bits(self.stream, at, self.width)
        for i in range(NUMBER_BLOCK - 1):
            there = counts > i
            number[there, i + 1] = unpack_bits(self.stream, first[there] + i * steps[there], steps[there])
        numbers = np.cumsum(number, axis=1) & (1 << self.width) - 1
        begins = rests[:, None] + self.rest * np.arange(NUMBER_BLOCK)
        return numbers.ravel()[: self.n], begins.ravel()[: self.n]


@dataclass(frozen=True)
class BlockPlan:
    """Which bits numbers take in blocks, before they are packed.

    Attributes:
        numbers, differences: int64[n]: of each, and to the one before, modulo two to the ``width``.
        steps: int64[blocks]: bits of a difference.
        width, rest: as of :class:`NumberBlocks`.
    """

    numbers: NDArray[np.int64]
    differences: NDArray[np.int64]
    steps: NDArray[np.int64]
    width: int
    rest: int

    @classmethod
    def of(cls, numbers: NDArray[np.int64], width: int, rest: int = 0) -> BlockPlan:
        """Of numbers of at most ``width`` bits, each with so many more behind its block."""
        differences = np.diff(numbers, prepend=0) & (1 << width) - 1
        bits = np.ceil(np.log2(differences + 1)).astype(np.int64)
        bits[::NUMBER_BLOCK] = 0
        return cls(numbers, differences, _in_blocks(bits).max(axis=1), width, rest)

    @property
    def _counts(self) -> NDArray[np.int64]:
        n = len(self.numbers)
        return np.minimum(NUMBER_BLOCK, n - NUMBER_BLOCK * np.arange(len(self.steps)))

    @property
    def _ends(self) -> NDArray[np.int64]:
        head = self.width + np.where(self._counts > 1, _STEP_BITS, 0)
        ends: NDArray[np.int64] = np.cumsum(head + (self._counts - 1) * self.steps + self._counts * self.rest)
        return ends

    @property
    def bits(self) -> int:
        """Of all codes."""
        return int(self._ends[-1])

    @property
    def starts(self) -> NDArray[np.int64]:
        """Bit at which each block begins."""
        return np.concatenate(([0], self._ends[:-1]))

    @property
    def start_bits(self) -> int:
        """Bits of a start."""
        return int(self.starts[-1]).bit_length()

    @property
    def start_bytes(self) -> int:
        """Bytes of all starts."""
        return bit_bytes(len(self.steps) * self.start_bits)

    def pack(self, rests: NDArray[np.int64] | None = None, widths: NDArray[np.int64] | None = None) -> bytes:
        """The codes.

        Args:
            rests: int64[n, k]: the numbers that follow behind a block for each of its rows.
            widths: int64[k]: their bits, ``rest`` together.
        """
        more = _in_blocks(np.ones(len(self.numbers), np.int64))[:, 1:]
        parts = [  # with their bits; those of rows behind the last one take none
            (self.numbers[::NUMBER_BLOCK, None], np.full((len(more), 1), self.width)),
            (self.steps[:, None], _STEP_BITS * more[:, :1]),
            (_in_blocks(self.differences)[:, 1:], self.steps[:, None] * more),
        ]
        if rests is not None and widths is not None:
            parts.append((_in_blocks(rests), _in_blocks(np.broadcast_to(widths, rests.shape))))
        values, each = (np.concatenate(part, axis=1).ravel() for part in zip(*parts, strict=True))
        return pack_bits(values, each)


def _in_blocks(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """One row for each block, the last one filled up with zeros."""
    blocks = -(-len(numbers) // NUMBER_BLOCK)
    padded = np.zeros((blocks * NUMBER_BLOCK, *numbers.shape[1:]), np.int64)
    padded[: len(numbers)] = numbers
    return padded.reshape(blocks, -1)
