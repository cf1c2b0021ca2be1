"""Strings of one length: each letter is a place in the alphabet of its column; see docs/format.md, "Columns".

Letters of neighbouring columns make one number, stored as the fraction that it is of all such numbers.
Times the size of the first alphabet it gives a place there before the point, and the letters that follow
behind it, so that reading divides nothing: arithmetic coding (Rissanen and Langdon, 1979) of equal chances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.bits import unpack_bits
from sparsedevice.packing.lists import Lists

MAX_COLUMNS = 64
#: Bits of a number.
MAX_NUMBER_BITS = 32
#: Bits of all numbers of a string.
_MAX_WIDTH = 255
ENTRY_BYTES = 4
_ONE = 1 << MAX_NUMBER_BITS


@dataclass(frozen=True)
class Columns:
    """The columns of a list.

    Attributes:
        begins: int64[n]: where the alphabet of each begins in the table.
        bits: int64[n]: of the number that begins with each; 0 where one goes on.
        sizes: int64[n]: letters of each.
    """

    begins: NDArray[np.int64]
    bits: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Bits of a string."""
        return int(self.bits.sum())

    def to_bytes(self) -> bytes:
        """The first entries of the table."""
        words = self.begins | self.bits << 16 | self.sizes - 1 << 24
        return words.astype("<u4").tobytes()

    @classmethod
    def from_table(cls, table: NDArray[np.uint8], n: int, width: int) -> Columns:
        """Of a table with alphabets, for strings of ``width`` bits.

        Raises:
            PackedFileError: ``strings`` if numbers or alphabets are not those of such a table.
        """
        words = table[: ENTRY_BYTES * n].copy().view("<u4").astype(np.int64)
        columns = cls(words & 0xFFFF, words >> 16 & 255, (words >> 24) + 1)
        if (columns.bits > MAX_NUMBER_BITS).any() or columns.width != width:
            raise PackedFileError("strings", "the columns of a list of strings do not make its width")
        if (columns.begins + columns.sizes > len(table)).any():
            raise PackedFileError("strings", "an alphabet of a list of strings ends behind its table")
        return columns

    def read(
        self,
        table: NDArray[np.uint8],
        stream: NDArray[np.uint8],
        at: NDArray[np.int64],
        first: NDArray[np.int64] | None = None,
    ) -> NDArray[np.uint8]:
        """The strings whose numbers begin at these bits, but for their first numbers where these are given.

        Returns:
            uint8[len(at), n].
        """
        letters = np.empty((len(at), len(self.bits)), np.uint8)
        fraction = np.zeros(len(at), np.int64)
        for column, (begin, bits, size) in enumerate(
            zip(self.begins.tolist(), self.bits.tolist(), self.sizes.tolist(), strict=True)
        ):
            if bits and column == 0 and first is not None:
                fraction = first << MAX_NUMBER_BITS - bits
            elif bits:
                fraction = unpack_bits(stream, at, bits) << MAX_NUMBER_BITS - bits
                at = at + bits
            product = fraction * size
            letters[:, column] = table[begin + (product >> MAX_NUMBER_BITS)]
            fraction = product & _ONE - 1
        return letters


def code_columns(strings: Lists) -> tuple[Columns, bytes, NDArray[np.int64]] | None:
    """Columns, their table and int64[n, k] numbers of strings; None where lengths differ or are too large."""
    length = int(strings.pointers[1])
    if length > MAX_COLUMNS or (strings.lengths != length).any():
        return None
    letters = strings.data.reshape(len(strings), length)
    alphabets = [np.flatnonzero(np.bincount(column, minlength=256)).astype(np.uint8) for column in letters.T]
    bits = number_bits([len(alphabet) for alphabet in alphabets])
    if sum(bits) > _MAX_WIDTH:
        return None
    columns, together = _with_alphabets([alphabet.tobytes() for alphabet in alphabets], bits)
    table = columns.to_bytes() + together
    numbers = []
    fraction = np.zeros(len(strings), np.int64)
    for column in reversed(range(length)):
        places = np.zeros(256, np.int64)
        places[alphabets[column]] = np.arange(len(alphabets[column]))
        place = places[letters[:, column]]
        fraction = -((place << MAX_NUMBER_BITS | fraction) // -len(alphabets[column]))
        if bits[column]:
            numbers.append(-(fraction // -(1 << MAX_NUMBER_BITS - bits[column])))
            fraction = np.zeros_like(fraction)
    together = np.array(numbers[::-1], np.int64).reshape(len(numbers), len(strings)).T
    return columns, table + bytes(-len(table) % 3), together


def number_bits(sizes: list[int]) -> list[int]:
    """Bits of the number that begins at each column, 0 where one goes on, fewest in all.

    Of several ways the one whose first number has the most columns, then the second, and so on.

    Args:
        sizes: letters of each column, 1 to 256.
    """
    n = len(sizes)
    fewest, ends = [0] * (n + 1), [n] * (n + 1)
    for begin in reversed(range(n)):
        fewest[begin], numbers = 8 * (n + 1), 1
        for end in range(begin + 1, n + 1):
            numbers *= sizes[end - 1]
            bits = (numbers - 1).bit_length() + fewest[end]
            if numbers > _ONE:
                break
            if bits <= fewest[begin]:
                fewest[begin], ends[begin] = bits, end
    begin, widths = 0, [0] * n
    while begin < n:
        widths[begin] = fewest[begin] - fewest[ends[begin]]
        begin = ends[begin]
    return widths


def _with_alphabets(alphabets: list[bytes], bits: list[int]) -> tuple[Columns, bytes]:
    """Columns, and their alphabets one after the other; what stands there already is used again."""
    together, begins = b"", []
    for alphabet in alphabets:
        if alphabet not in together:
            together += alphabet
        begins.append(ENTRY_BYTES * len(alphabets) + together.find(alphabet))
    sizes = [len(alphabet) for alphabet in alphabets]
    return Columns(*(np.array(numbers, np.int64) for numbers in (begins, bits, sizes))), together
