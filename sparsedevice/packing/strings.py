"""Lists of strings as they lie in the packed file, read in place."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, UnknownIdError
from sparsedevice.packing.format import EMPTY_SLOT, MAX_STRING_BYTES, index_slots
from sparsedevice.vocabulary import Vocabulary

# From this many look-ups at once, one dictionary is faster than searching for each.
_MANY = 512


class PackedStrings(Sequence[str]):
    """Strings behind one another, and where each begins; decoded when asked for.

    Attributes:
        pointers: uint32[n + 1].
        data: the bytes of all strings.
    """

    def __init__(self, pointers: NDArray[np.uint32], data: NDArray[np.uint8]) -> None:
        self.pointers = pointers
        self.data = data

    def __len__(self) -> int:
        return len(self.pointers) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"string {index} of {len(self)}")
        return self.raw(index % len(self)).decode("utf-8")

    def raw(self, index: int) -> bytes:
        """The UTF-8 bytes of one string."""
        return self.data[int(self.pointers[index]) : int(self.pointers[index + 1])].tobytes()


class PackedVocabulary(Vocabulary):
    """A vocabulary that finds an id through the index in the file, without building a dictionary.

    Attributes:
        index: uint32[slots]: rows, or EMPTY_SLOT; see docs/format.md, "The id index".
    """

    def __init__(self, ids: PackedStrings, index: NDArray[np.uint32]) -> None:
        super().__init__(ids)
        self.index = index
        self._strings = ids

    def row(self, id_: str | int) -> int:
        """Row of one id.

        Raises:
            UnknownIdError: if the id is not in the vocabulary.
        """
        row = self._find(str(id_))
        if row < 0:
            raise UnknownIdError(f"unknown id {id_!r}: it is not in this file")
        return row

    def rows(self, ids: Iterable[str | int]) -> NDArray[np.int32]:
        """Rows of many ids, int32[n], with -1 for each id that is not known."""
        ids = list(ids)
        if len(ids) >= _MANY:
            return super().rows(ids)
        return np.fromiter((self._find(str(i)) for i in ids), dtype=np.int32, count=len(ids))

    def _find(self, id_: str) -> int:
        try:
            return self.find(id_.encode("utf-8"))
        except UnicodeEncodeError:
            return -1

    def find(self, wanted: bytes) -> int:
        """Row of an id as UTF-8, or -1."""
        n = len(self._strings)
        for slot in range(first_slot(wanted, n), len(self.index)):
            row = int(self.index[slot])
            if row >= n:
                break
            if self._strings.raw(row) == wanted:
                return row
        return -1


def first_slot(id_: bytes, n: int) -> int:
    """Slot at which the search for an id begins, among ``n`` ids."""
    return zlib.crc32(id_) * index_slots(n) >> 32


def pack_strings(strings: Iterable[str], what: str) -> tuple[bytes, bytes, list[bytes]]:
    """Pointers (uint32) and bytes of a list of strings, and the strings as UTF-8.

    Raises:
        ConfigError: if one cannot be UTF-8 or takes more than 65,535 bytes, or all take 4 GiB.
    """
    encoded = []
    for row, string in enumerate(strings):
        try:
            raw = string.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError(
                f"{what} {row} ({string!r}) is not valid Unicode; remove the surrogates"
            ) from None
        if len(raw) > MAX_STRING_BYTES:
            raise ConfigError(
                f"{what} {row} has {len(raw)} bytes; a packed file holds {MAX_STRING_BYTES} at most"
            )
        encoded.append(raw)
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    if len(ends) and ends[-1] > 0xFFFFFFFF:
        raise ConfigError(f"all {what}s together have {ends[-1]} bytes; a packed file holds 4 GiB at most")
    pointers = np.concatenate(([0], ends)).astype("<u4")
    return pointers.tobytes(), b"".join(encoded), encoded


def pack_vocabulary(ids: Sequence[str], what: str) -> tuple[bytes, bytes, bytes]:
    """Pointers, bytes and index (uint32) of distinct ids.

    Raises:
        ConfigError: as :func:`pack_strings`, and if an id stands twice.
    """
    pointers, data, encoded = pack_strings(ids, what)
    first_row: dict[bytes, int] = {}
    for row, raw in enumerate(encoded):
        if first_row.setdefault(raw, row) != row:
            rows_of = f"rows {first_row[raw]} and {row}"
            raise ConfigError(f"{what} {ids[row]!r} stands in {rows_of}; ids must be distinct")
    return pointers, data, id_index(encoded)


def id_index(encoded: Sequence[bytes]) -> bytes:
    """The index (uint32) of distinct ids, given as UTF-8."""
    n = len(encoded)
    slots = np.fromiter((first_slot(raw, n) for raw in encoded), np.int64, n)
    rows = np.argsort(slots, kind="stable")
    # Linear probing, all at once: each id lies at its slot or right after the one before it.
    place = np.arange(n) + np.maximum.accumulate(slots[rows] - np.arange(n))
    index = np.full(max(index_slots(n), int(place[-1]) + 1), EMPTY_SLOT, "<u4")
    index[place] = rows
    return index.tobytes()
