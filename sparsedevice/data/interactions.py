"""The interaction log in memory: who used what, by row numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from sparsedevice.errors import DataError
from sparsedevice.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of a user and an item, in the order of the log.

    Attributes:
        user_index: int32[n], rows of ``user_ids``.
        item_index: int32[n], rows of ``item_ids``.
        user_ids: the users' ids.
        item_ids: the items' ids.
        rating: float32[n], or None.
        timestamp: int64[n] in the log's own unit (dates become seconds since 1970, UTC), or None.
        titles: one title per item row, "" where unknown, or None.

    Raises:
        DataError: if lengths disagree, an index lies outside its vocabulary, an id repeats, or a rating
            is not finite.
    """

    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    user_ids: Vocabulary
    item_ids: Vocabulary
    rating: NDArray[np.float32] | None = None
    timestamp: NDArray[np.int64] | None = None
    titles: list[str] | None = None

    def __post_init__(self) -> None:
        self._set("user_index", _column("user_index", self.user_index, np.int32, whole=True))
        self._set("item_index", _column("item_index", self.item_index, np.int32, whole=True))
        n = len(self.user_index)
        if len(self.item_index) != n:
            raise DataError(f"item_index has {len(self.item_index)} rows, user_index has {n}; give one each")
        for name, index, ids in (
            ("user", self.user_index, self.user_ids),
            ("item", self.item_index, self.item_ids),
        ):
            if n and not 0 <= int(index.min()) <= int(index.max()) < len(ids):
                raise DataError(
                    f"{name}_index runs from {index.min()} to {index.max()}, "
                    f"but there are {len(ids)} {name} ids"
                )
            if len(set(ids.ids)) != len(ids):
                raise DataError(f"{name}_ids holds the same id twice; ids must be distinct")
        if self.rating is not None:
            self._set("rating", _column("rating", self.rating, np.float32, rows=n))
            if not np.isfinite(self.rating).all():
                row = int(np.flatnonzero(~np.isfinite(self.rating))[0])
                raise DataError(f"rating {self.rating[row]} of interaction {row} is not a finite number")
        if self.timestamp is not None:
            self._set("timestamp", _column("timestamp", self.timestamp, np.int64, rows=n, whole=True))
        if self.titles is not None and len(self.titles) != len(self.item_ids):
            raise DataError(f"{len(self.titles)} titles for {len(self.item_ids)} items; give one each")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def from_ids(
        cls,
        users: Iterable[str | int],
        items: Iterable[str | int],
        *,
        rating: ArrayLike | None = None,
        timestamp: ArrayLike | None = None,
        titles: Mapping[str, str] | None = None,
    ) -> Interactions:
        """Interactions from two columns of ids; rows are numbered in the order of first appearance.

        Args:
            users: n ids; integers become their decimal form.
            items: n ids.
            rating: n numbers, or None.
            timestamp: n integers, or None.
            titles: title by item id; items without one get "".

        Raises:
            DataError: as the class.
        """
        user_index, user_ids = number(users)
        item_index, item_ids = number(items)
        return cls(
            user_index,
            item_index,
            user_ids,
            item_ids,
            None if rating is None else np.asarray(rating, dtype=np.float32),
            None if timestamp is None else np.asarray(timestamp),
            None if titles is None else [titles.get(id_, "") for id_ in item_ids.ids],
        )

    def __len__(self) -> int:
        return len(self.user_index)

    @property
    def n_users(self) -> int:
        """Users in the vocabulary (not all need occur)."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Items in the vocabulary (not all need occur)."""
        return len(self.item_ids)

    def matrix(self) -> sp.csr_array:
        """The log as csr_array float32 [n_users, n_items]: 1 where the pair occurs, indices sorted."""
        shape = (self.n_users, self.n_items)
        ones = np.ones(len(self), dtype=np.float32)
        matrix = sp.csr_array((ones, (self.user_index, self.item_index)), shape=shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    def fingerprint(self) -> str:
        """Hex sha256 over ids, indices, ratings, timestamps and titles: equal content, equal fingerprint."""
        digest = hashlib.sha256(b"interactions 1")
        texts: tuple[Sequence[str] | None, ...] = (self.user_ids.ids, self.item_ids.ids, self.titles)
        for text in texts:
            _hash_texts(digest, text)
        arrays: tuple[tuple[NDArray[np.generic] | None, str], ...] = (
            (self.user_index, "<i4"),
            (self.item_index, "<i4"),
            (self.rating, "<f4"),
            (self.timestamp, "<i8"),
        )
        for array, little_endian in arrays:
            digest.update(b"-" if array is None else b"+" + len(array).to_bytes(8, "little"))
            if array is not None:
                digest.update(np.ascontiguousarray(array.astype(little_endian, copy=False)).data)
        return digest.hexdigest()

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Interactions:
        """The chosen interactions (bool[n] mask or row numbers) with the same vocabularies."""
        return replace(
            self,
            user_index=self.user_index[rows],
            item_index=self.item_index[rows],
            rating=None if self.rating is None else self.rating[rows],
            timestamp=None if self.timestamp is None else self.timestamp[rows],
        )

    def compact(self) -> Interactions:
        """The same interactions over only the ids (and titles) that occur, in the same order."""
        users, user_row = _used(self.user_index, self.n_users)
        items, item_row = _used(self.item_index, self.n_items)
        return replace(
            self,
            user_index=user_row[self.user_index],
            item_index=item_row[self.item_index],
            user_ids=Vocabulary([self.user_ids.ids[i] for i in users]),
            item_ids=Vocabulary([self.item_ids.ids[i] for i in items]),
            titles=None if self.titles is None else [self.titles[i] for i in items],
        )


def number(ids: Iterable[str | int]) -> tuple[NDArray[np.int32], Vocabulary]:
    """Rows, int32[n], and the vocabulary of a column of ids, in the order of first appearance."""
    rows: dict[str, int] = {}
    index = np.fromiter((rows.setdefault(str(id_), len(rows)) for id_ in ids), dtype=np.int32)
    return index, Vocabulary(list(rows))


def _column(
    name: str, value: ArrayLike, dtype: type[np.generic], *, rows: int | None = None, whole: bool = False
) -> NDArray[np.generic]:
    array = np.asarray(value)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        expected = "one dimension" if rows is None else f"{rows} rows"
        raise DataError(f"{name} has shape {array.shape}; give {expected}")
    if whole and len(array) and array.dtype.kind not in "iu":
        raise DataError(f"{name} holds {array.dtype} values; give integers")
    return np.ascontiguousarray(array, dtype=dtype)


def _used(index: NDArray[np.int32], n: int) -> tuple[list[int], NDArray[np.int32]]:
    """The rows that occur, and for each old row its new one (meaningless for rows that do not occur)."""
    occurs = np.bincount(index, minlength=n) > 0
    return np.flatnonzero(occurs).tolist(), (np.cumsum(occurs) - 1).astype(np.int32)


def _hash_texts(digest: hashlib._Hash, texts: Sequence[str] | None) -> None:
    if texts is None:
        digest.update(b"-")
        return
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(b"+" + len(encoded).to_bytes(8, "little"))
    digest.update(np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded)).tobytes())
    digest.update(b"".join(encoded))
