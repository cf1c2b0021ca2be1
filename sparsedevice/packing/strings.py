"""Lists of strings as they lie in the packed file, read in place."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, UnknownIdError
from sparsedevice.packing.bits import bits_at, pack_bits
from sparsedevice.packing.coded import CodedList, code_list
from sparsedevice.packing.format import MAX_STRING_BYTES, index_slots, slot_bits
from sparsedevice.packing.lists import Lists
from sparsedevice.vocabulary import Vocabulary

# From this many look-ups at once, one dictionary is faster than searching for each.
_MANY = 512
_NO_ROW = 0xFFFFFFFF


class PackedStrings(Sequence[str]):
    """Strings of a file, decoded when asked for.

    Attributes:
        coded: how they lie.
    """

    def __init__(self, coded: CodedList) -> None:
        self.coded = coded

    def __len__(self) -> int:
        return self.coded.n

    def __iter__(self) -> Iterator[str]:
        return (raw.decode("utf-8") for raw in self.coded.all().raw())

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
        return self.coded.raw(int(index))


class PackedVocabulary(Vocabulary):
    """A vocabulary that finds an id through the index in the file, without building a dictionary.

    Attributes:
        index: the bytes of the index; see docs/format.md, "The id index".
    """

    def __init__(self, ids: PackedStrings, index: NDArray[np.uint8]) -> None:
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
        slots, width = int.from_bytes(self.index[:4].tobytes(), "little"), slot_bits(n)
        for slot in range(first_slot(wanted, n), slots):
            row = bits_at(self.index[4:], slot * width, width)
            if row >= n:
                break
            if self._strings.raw(row) == wanted:
                return row
        return -1


def first_slot(id_: bytes, n: int) -> int:
    """Slot at which the search for an id begins, among ``n`` ids."""
    return zlib.crc32(id_) * index_slots(n) >> 32


def encode_strings(strings: Iterable[str], what: str) -> list[bytes]:
    """A list of strings as UTF-8.

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
    total = sum(map(len, encoded))
    if total > 0xFFFFFFFF:
        raise ConfigError(f"all {what}s together have {total} bytes; a packed file holds 4 GiB at most")
    return encoded


def pack_strings(strings: Iterable[str], what: str) -> tuple[bytes, bytes]:
    """Starts and codes of a list of strings.

    Raises:
        ConfigError: as :func:`encode_strings`.
    """
    return _coded_parts(Lists.of(encode_strings(strings, what)))


def _coded_parts(strings: Lists) -> tuple[bytes, bytes]:
    """Starts and codes of UTF-8 strings, with symbols learnt from them."""
    parts = code_list(strings)
    assert parts is not None, "learnt symbols make the strings"
    return parts


def pack_vocabulary(ids: Sequence[str], what: str) -> tuple[bytes, bytes, bytes]:
    """Starts, codes and index of distinct ids.

    Raises:
        ConfigError: as :func:`encode_strings`, and if an id stands twice.
    """
    encoded = encode_strings(ids, what)
    if len(set(encoded)) < len(encoded):
        first_row: dict[bytes, int] = {}
        for row, raw in enumerate(encoded):
            if first_row.setdefault(raw, row) != row:
                rows_of = f"rows {first_row[raw]} and {row}"
                raise ConfigError(f"{what} {ids[row]!r} stands in {rows_of}; ids must be distinct")
    strings = Lists.of(encoded)
    return *_coded_parts(strings), id_index(strings)


def id_index(ids: Lists) -> bytes:
    """The index of distinct ids, given as UTF-8."""
    from sparsedevice.runtime import _core

    n = len(ids)
    slots = np.frombuffer(_core.id_index(ids.data, ids.pointers[1:].astype(np.uint64)), "<u4").astype(
        np.int64
    )
    slots[slots == _NO_ROW] = (1 << slot_bits(n)) - 1
    return len(slots).to_bytes(4, "little") + pack_bits(slots, slot_bits(n))
