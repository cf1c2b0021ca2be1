"""Many strings, or lists of numbers, in two arrays: what follows one another, and where each begins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_TENS = 10 ** np.arange(1, 19, dtype=np.int64)
_ZERO, _NINE, _END = ord("0"), ord("9"), 0xFF


@dataclass(frozen=True, eq=False)
class Lists:
    """One list of numbers for each row: bytes of a string, or the items a user has seen.

    Attributes:
        pointers: int64[n + 1].
        data: uint8 or uint32 [pointers[-1]].
    """

    pointers: NDArray[np.int64]
    data: NDArray[np.uint8] | NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.pointers) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row's list."""
        return np.diff(self.pointers)

    @classmethod
    def of(cls, strings: list[bytes]) -> Lists:
        """The bytes of strings."""
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        return cls.behind_one_another(lengths, np.frombuffer(b"".join(strings), np.uint8))

    @classmethod
    def behind_one_another(cls, lengths: NDArray[np.int64], data: NDArray[np.uint8]) -> Lists:
        """Lists of these lengths."""
        return cls(np.concatenate(([0], np.cumsum(lengths))), data)

    @classmethod
    def of_numbers(cls, numbers: NDArray[np.int64], digits: int = 0) -> Lists:
        """Decimal numbers of 0 and more, with zeros before those of fewer digits."""
        lengths = np.maximum(np.searchsorted(_TENS, numbers, side="right") + 1, digits)
        lists = cls.behind_one_another(lengths, np.full(int(lengths.sum()), _ZERO, np.uint8))
        place, left = lists.pointers[1:] - 1, numbers
        while len(left):
            lists.data[place] = _ZERO + left % 10
            more = left > 9
            place, left = place[more] - 1, left[more] // 10
        return lists

    def numbers(self) -> NDArray[np.int64]:
        """The numbers below 10^18 that strings of digits are."""
        lengths, numbers = self.lengths, np.zeros(len(self), np.int64)
        for place in range(int(lengths.max(initial=0))):
            there = np.flatnonzero(lengths > place)
            digits = self.data[self.pointers[there + 1] - 1 - place].astype(np.int64) - _ZERO
            numbers[there] += digits * 10**place
        return numbers

    def all_digits(self) -> bool:
        """Whether each string is digits, one at least."""
        data, lengths = self.data, self.lengths
        return bool(len(data) and data.min() >= _ZERO and data.max() <= _NINE and lengths.min() > 0)

    def raw(self) -> list[bytes]:
        """Each row's bytes."""
        data = self.data.tobytes()
        return [data[a:b] for a, b in pairwise(self.pointers.tolist())]

    def with_ends(self) -> bytes:
        """Each string and the byte 255, which no UTF-8 has."""
        ended = np.full(len(self.data) + len(self), _END, np.uint8)
        own = np.ones(len(ended), bool)
        own[self.pointers[1:] + np.arange(len(self))] = False
        ended[own] = self.data
        return ended.tobytes()
