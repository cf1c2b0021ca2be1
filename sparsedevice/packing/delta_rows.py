"""How a delta stores one section: what the base leads one to expect, and where the new file differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.format import Header
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.streams import Sink, Source


@dataclass(frozen=True, eq=False)
class RowMap:
    """Which row of the base each row of the new file was.

    Attributes:
        base: int64[n]: row of the base, or -1 for a row that is new. No row of the base stands twice.
        n_base: rows of the base.
    """

    base: NDArray[np.int64]
    n_base: int

    def counts(self) -> dict[str, int]:
        """Rows kept, added and removed."""
        kept = int((self.base >= 0).sum())
        return {"kept": kept, "added": len(self.base) - kept, "removed": self.n_base - kept}

    def inverse(self) -> NDArray[np.int64]:
        """int64[n_base]: the new row of each row of the base, or -1."""
        new = np.full(self.n_base, -1, np.int64)
        kept = np.flatnonzero(self.base >= 0)
        new[self.base[kept]] = kept
        return new

    def lists(self, old: Lists) -> Lists:
        """The lists of the base in the new order; empty for new rows."""
        lengths = np.where(self.base < 0, 0, np.append(old.lengths, 0)[self.base])
        starts = np.where(self.base < 0, 0, old.pointers[self.base])
        return Lists(_pointers(lengths), old.data[_spread(starts, lengths)])

    def rows(self, old: Rows) -> Rows:
        """The rows of the base in the new order; empty, with the scale 1, for new rows."""
        last = old.indptr[-1:]
        extended = Rows(
            np.concatenate((old.indptr, last)),
            old.columns,
            old.values,
            np.append(old.scales, np.float32(1)),
            old.dim,
        )
        return extended.take(np.where(self.base < 0, self.n_base, self.base))

    def words(self, old: NDArray[np.uint32] | None) -> NDArray[np.uint32]:
        """One number of the base for each row, in the new order; 0 for new rows."""
        if old is None:
            return np.zeros(len(self.base), np.uint32)
        return np.where(self.base < 0, 0, np.append(old, np.uint32(0))[self.base]).astype(np.uint32)


def put_map(sink: Sink, rows: RowMap) -> None:
    """Runs of rows that are new, or that follow one another in the base too."""
    base = rows.base
    breaks = np.ones(len(base), bool)
    breaks[1:] = base[1:] != np.where(base[:-1] < 0, -1, base[:-1] + 1)
    first = np.flatnonzero(breaks)
    counts = np.diff(np.append(first, len(base)))
    starts, is_new = base[first], base[first] < 0
    kept_starts, kept_counts = starts[~is_new], counts[~is_new]
    ends = np.concatenate(([0], (kept_starts + kept_counts)[:-1])) if len(kept_starts) else kept_starts
    sink.number(len(first))
    sink.bits(is_new)
    sink.planes(counts, 4)
    sink.planes((kept_starts - ends) & 0xFFFFFFFF, 4)


def take_map(source: Source, n: int, n_base: int) -> RowMap:
    """Read a map of ``n`` rows onto ``n_base``.

    Raises:
        PackedFileError: ``body`` if runs do not fill the rows, leave the base or overlap.
    """
    n_runs = source.number()
    is_new = source.bits(n_runs)
    counts = source.planes(n_runs, 4).astype(np.int64)
    jumps = source.planes(int((~is_new).sum()), 4).astype(np.int64)
    kept = counts[~is_new]
    # What each new row has is stored at least as its lengths, so their number is bounded by the bytes left.
    if int(counts.sum()) != n or int(kept.sum()) > n_base or n - int(kept.sum()) > source.left:
        raise PackedFileError("body", f"the runs of rows do not make {n} rows")
    ends = np.cumsum(jumps + kept) & 0xFFFFFFFF
    starts = ends - kept
    order = np.argsort(starts, kind="stable")
    if len(starts) and (
        starts.min() < 0 or ends.max() > n_base or (starts[order][1:] < ends[order][:-1]).any()
    ):
        raise PackedFileError("body", "the runs of rows leave the base or overlap")
    first = np.full(n_runs, -1, np.int64)
    first[~is_new] = starts
    inside = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    return RowMap(np.where(np.repeat(is_new, counts), -1, np.repeat(first, counts) + inside), n_base)


def put_rows(sink: Sink, expected: Rows, new: Rows) -> NDArray[np.bool_]:
    """Columns of the rows where they differ, values as differences; bool[n]: which rows differ at all."""
    n, lengths = len(new.indptr) - 1, np.diff(new.indptr)
    owner = np.repeat(np.arange(n), lengths)
    found, value = _at_same_place(expected, new.indptr, new.columns)
    hits = np.bincount(owner[found], minlength=n)
    moved = (hits != lengths) | (lengths != np.diff(expected.indptr))
    in_moved = np.repeat(moved, lengths)
    sink.bits(moved)
    sink.planes(lengths[moved], 2)
    before = np.where(np.arange(len(owner)) == new.indptr[owner], -1, np.roll(new.columns, 1))
    sink.planes((new.columns - before - 1)[in_moved], 2)
    difference = _difference(_whole(new.values), _whole(value), new.values.dtype)
    differs = np.bincount(owner[difference != 0], minlength=n) > 0
    sink.bits(differs)
    sink.planes(difference[np.repeat(differs, lengths)], difference.dtype.itemsize)
    different: NDArray[np.bool_] = moved | differs
    return different


def take_rows(source: Source, expected: Rows, header: Header) -> Rows:
    """Read rows; their scales are those of the base.

    Raises:
        PackedFileError: ``body`` if a row is longer than the table is wide or a column is outside of it.
    """
    n = len(expected.indptr) - 1
    moved = source.bits(n)
    old_lengths = np.diff(expected.indptr)
    lengths = old_lengths.copy()
    lengths[moved] = source.planes(int(moved.sum()), 2)
    indptr = _pointers(lengths)
    moved_lengths = lengths[moved]
    gaps = source.planes(int(moved_lengths.sum()), 2).astype(np.int64)
    steps = np.cumsum(gaps + 1)
    starts = _pointers(moved_lengths)[:-1]
    columns = steps - np.repeat(np.append(0, steps)[starts], moved_lengths) - 1
    if len(columns) and columns.max() >= header.dim:
        raise PackedFileError("body", f"column {columns.max()} stands in a table of {header.dim}")
    all_columns = np.empty(indptr[-1], np.int32)
    in_moved = np.repeat(moved, lengths)
    all_columns[in_moved] = columns
    all_columns[~in_moved] = expected.columns[~np.repeat(moved, old_lengths)]
    _, value = _at_same_place(expected, indptr, all_columns)
    whole = _whole(value).copy()
    differs = np.repeat(source.bits(n), lengths)
    difference = source.planes(int(differs.sum()), whole.dtype.itemsize)
    whole[differs] = _sum(whole[differs], difference, value.dtype)
    return Rows(indptr, all_columns, whole.view(value.dtype), expected.scales, header.dim)


def put_strings(sink: Sink, expected: Lists, new: Lists) -> None:
    """The strings that differ."""
    differs = np.fromiter((a != b for a, b in zip(expected.raw(), new.raw(), strict=True)), bool)
    lengths = new.lengths
    sink.bits(differs)
    sink.planes(lengths[differs], 4)
    sink.raw(new.data[np.repeat(differs, lengths)])


def take_strings(source: Source, expected: Lists) -> Lists:
    """Read strings."""
    old_lengths = expected.lengths
    differs = source.bits(len(old_lengths))
    lengths = old_lengths.copy()
    lengths[differs] = source.planes(int(differs.sum()), 4)
    given = np.frombuffer(source.raw(int(lengths[differs].sum())), np.uint8)
    data = np.empty(int(lengths.sum()), np.uint8)
    in_given = np.repeat(differs, lengths)
    data[in_given] = given
    data[~in_given] = expected.data[~np.repeat(differs, old_lengths)]
    return Lists(_pointers(lengths), data)


def put_words(sink: Sink, expected: NDArray[np.uint32], new: NDArray[np.uint32]) -> None:
    """The numbers that differ, by exclusive or."""
    difference = expected ^ new
    sink.bits(difference != 0)
    sink.planes(difference[difference != 0], 4)


def take_words(source: Source, expected: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Read numbers."""
    differs = source.bits(len(expected))
    words = expected.astype("<u4")
    words[differs] ^= source.planes(int(differs.sum()), 4)
    return words


def put_seen(sink: Sink, old: Lists | None, new: Lists, items: RowMap, users: RowMap) -> None:
    """Items that a user has seen no longer, and those that are new in the list."""
    n_items = len(items.base)
    expected, wanted = _seen_keys(old, items, users), _keys(new.pointers, new.data, n_items)
    dropped = np.flatnonzero(~np.isin(expected, wanted, assume_unique=True))
    added = wanted[~np.isin(wanted, expected, assume_unique=True)]
    sink.number(len(dropped))
    sink.planes(np.diff(dropped, prepend=-1) - 1, 4)
    owner, row = added // n_items, added % n_items
    sink.planes(np.bincount(owner, minlength=len(users.base)), 4)
    follows = np.diff(owner, prepend=-1) == 0
    sink.planes(row - np.where(follows, np.roll(row, 1), -1) - 1, 4)


def take_seen(source: Source, old: Lists | None, items: RowMap, users: RowMap) -> Lists:
    """Read lists of seen items.

    Raises:
        PackedFileError: ``body`` if an item is outside the table or a place outside the lists.
    """
    n_items, n_users = len(items.base), len(users.base)
    expected = _seen_keys(old, items, users)
    dropped = np.cumsum(source.planes(source.number(), 4).astype(np.int64) + 1) - 1
    counts = source.planes(n_users, 4).astype(np.int64)
    if len(dropped) and dropped[-1] >= len(expected):
        raise PackedFileError("body", f"seen item {dropped[-1]} of {len(expected)} is dropped")
    gaps = source.planes(int(counts.sum()), 4).astype(np.int64)
    steps = np.cumsum(gaps + 1)
    row = steps - np.repeat(np.append(0, steps)[_pointers(counts)[:-1]], counts) - 1
    if len(row) and row.max() >= n_items:
        raise PackedFileError("body", f"a seen list names row {row.max()} of {n_items}")
    added = np.repeat(np.arange(n_users), counts) * n_items + row
    keys = np.sort(np.concatenate((np.delete(expected, dropped), added)))
    lengths = np.bincount(keys // n_items, minlength=n_users)
    return Lists(_pointers(lengths), (keys % n_items).astype(np.uint32))


def _seen_keys(old: Lists | None, items: RowMap, users: RowMap) -> NDArray[np.int64]:
    """int64, increasing: user times items plus item, for each pair of the base whose rows are still there."""
    if old is None:
        return np.empty(0, np.int64)
    mine = users.lists(old)
    row = items.inverse()[mine.data]
    keys = _keys(mine.pointers, row, len(items.base))
    return np.sort(keys[row >= 0])


def _keys(pointers: NDArray[np.int64], row: NDArray[Any], n: int) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers)) * n + row.astype(
        np.int64
    )
    return keys


def _at_same_place(
    expected: Rows, indptr: NDArray[np.int64], columns: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """For each entry: whether the expected row has its column, and the value there, else 0."""
    keys = _keys(indptr, columns, expected.dim)
    if not len(expected.columns):
        return np.zeros(len(keys), bool), np.zeros(len(keys), expected.values.dtype)
    known = _keys(expected.indptr, expected.columns, expected.dim)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found = known[at] == keys
    return found, np.where(found, expected.values[at], expected.values.dtype.type(0))


def _whole(values: NDArray[Any]) -> NDArray[Any]:
    """Values as the unsigned integers that their bytes are."""
    return np.ascontiguousarray(values).view(f"<u{values.dtype.itemsize}")


def _difference(new: NDArray[Any], old: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Integers differ by subtraction modulo 256, floats by exclusive or."""
    difference: NDArray[Any] = new - old if dtype.kind == "i" else new ^ old
    return difference


def _sum(old: NDArray[Any], difference: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    new: NDArray[Any] = old + difference if dtype.kind == "i" else old ^ difference
    return new


def _pointers(lengths: NDArray[Any]) -> NDArray[np.int64]:
    pointers: NDArray[np.int64] = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.int64)
    return pointers


def _spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices ``starts[i] … starts[i] + lengths[i] - 1`` for each ``i``, behind one another."""
    pointers = _pointers(lengths)
    spread: NDArray[np.int64] = np.repeat(starts - pointers[:-1], lengths) + np.arange(pointers[-1])
    return spread
