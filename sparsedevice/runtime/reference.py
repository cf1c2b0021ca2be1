"""The reference backend: the contract of docs/architecture.md in numpy, one line for each line of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, UnknownIdError
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.reader import PackedFile
from sparsedevice.runtime.recommender import (
    Exclude,
    Recommendations,
    Recommender,
    check_ids,
    check_k,
    check_query,
)
from sparsedevice.runtime.reference_fold import refined


@dataclass(frozen=True, eq=False)
class Query:
    """A query as scoring uses it.

    Attributes:
        vector: [dim]: int32 within -127 … 127 on the integer path, else float32.
        scale: what every score is multiplied by last.
    """

    vector: NDArray[np.int32] | NDArray[np.float32]
    scale: np.float32


class NumpyRecommender(Recommender):
    """Exact and simple, not fast: it keeps the rows as CSR and ranks with a full sort."""

    def __init__(self, packed: PackedFile) -> None:
        self.packed = packed
        rows = packed.item_rows
        exact = np.int32 if self._integer else np.float32
        shape = (packed.n_items, packed.dim)
        self._table = sp.csr_array((rows.values.astype(exact), rows.columns, rows.indptr), shape=shape)

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> NumpyRecommender:
        """Open a packed file.

        Raises:
            PackedFileError: naming the broken promise.
        """
        return cls(PackedFile.open(path, verify=verify))

    @property
    def _integer(self) -> bool:
        return self.packed.values in ("int8", "int4")

    def recommend(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        k: int = 10,
        exclude: Exclude = "seen",
        candidates: Sequence[str | int] | None = None,
    ) -> Recommendations:
        """See :meth:`Recommender.recommend`."""
        k = check_k(k)
        check_query(history, user)
        unknown: list[str] = []
        eligible = np.ones(self.packed.n_items, bool)
        if candidates is not None:
            check_ids("candidates", candidates)
        if history is not None:
            known = self._known(history, unknown)
            query, seen = self.fold_in(known), known
        else:
            row = self._user_row(user)
            query, seen = self.user_query(row), self._seen(row)
        if isinstance(exclude, str):
            if exclude not in ("seen", "none"):
                raise ConfigError(f"exclude is {exclude!r}; use 'seen', 'none' or a list of ids")
            if exclude == "seen":
                eligible[seen] = False
        else:
            eligible[seen] = False
            eligible[self._known(exclude, unknown)] = False
        if candidates is not None:
            allowed = np.zeros(len(eligible), bool)
            allowed[self._known(candidates, unknown)] = True
            eligible &= allowed
        return self.best(self.scores(query), eligible, k, unknown)

    def lookup(self, ids: Sequence[str | int]) -> sp.csr_array:
        """See :meth:`Recommender.lookup`."""
        rows: sp.csr_array = self.packed.items[self._rows(ids)]
        return rows

    def score(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        items: Sequence[str | int],
    ) -> NDArray[np.float32]:
        """See :meth:`Recommender.score`."""
        check_query(history, user)
        if history is not None:
            query = self.fold_in(self._known(history, []))
        else:
            query = self.user_query(self._user_row(user))
        return self.scores(query)[self._rows(items)]

    def similar(self, item: str | int, k: int = 10) -> Recommendations:
        """See :meth:`Recommender.similar`."""
        k = check_k(k)
        row = self.packed.vocabulary.row(item)
        eligible = np.ones(self.packed.n_items, bool)
        eligible[row] = False
        query = self.query(_dense(self.packed.item_rows, row))
        if self.packed.network is not None:  # whose queries are users, not items
            query = self.fold_in(np.array([row], np.int32))
        return self.best(self.scores(query), eligible, k, [])

    def user_query(self, row: int) -> Query:
        """The query of a shipped user row."""
        rows = self.packed.user_rows
        assert rows is not None
        return self.query(_dense(rows, row))

    def fold_in(self, history: NDArray[np.int32]) -> Query:
        """The query of a history (rows), each row counted once, added up in row order."""
        rows, rule = self.packed.item_rows, self.packed.fold_in
        total = np.zeros(self.packed.dim)
        for row in np.unique(history):
            weight = 1.0 if rule.weights is None else float(rule.weights[row])
            a, b = rows.indptr[row], rows.indptr[row + 1]
            total[rows.columns[a:b]] += weight * float(rows.scales[row]) * rows.values[a:b].astype(np.float64)
        known = np.unique(history)
        if not len(known):
            return self.query(total)
        return self.query(refined(rows, rule, known, total, lambda q: self.scores(self.query(q))))

    def query(self, q: NDArray[np.float64]) -> Query:
        """Quantise a query, or bring it to float32 on the float path."""
        zero = Query(np.zeros(len(q), np.float32), np.float32(0))
        if self._integer:
            zero = Query(np.zeros(len(q), np.int32), np.float32(0))
        amax = np.abs(q).max()
        if self.packed.network is not None:
            length = np.sqrt((q * q).sum())
            return Query((q / length if length > 0 else q).astype(np.float32), np.float32(1))
        if not 0 < amax < np.inf or not np.isfinite(127 / amax):
            return zero
        if not self._integer:
            if self.packed.similarity == "dot":
                return Query(q.astype(np.float32), np.float32(1))
            scaled = q / amax
            return Query((scaled / np.sqrt((scaled * scaled).sum())).astype(np.float32), np.float32(1))
        q8 = np.rint(q * (127 / amax)).astype(np.int32)
        if self.packed.similarity == "dot":
            return Query(q8, np.float32(amax / 127))
        return Query(q8, np.float32(1 / np.sqrt(float(q8 @ q8))))

    def scores(self, query: Query) -> NDArray[np.float32]:
        """Scores of all items, float32[n_items]."""
        network = self.packed.network
        if network is not None:
            asked, items = query.vector[None].astype(np.float32), self.packed.items
            blocks = (items[at : at + 1024].toarray() for at in range(0, self.packed.n_items, 1024))
            return np.concatenate([network.scores(asked, block)[0] for block in blocks])
        total = (self._table @ query.vector).astype(np.float32)
        return (total * self.packed.item_rows.scales) * query.scale

    def best(
        self, scores: NDArray[np.float32], eligible: NDArray[np.bool_], k: int, unknown: list[str]
    ) -> Recommendations:
        """The k best of the eligible rows, by scores float32[n_items] and flags bool[n_items]."""
        allowed = np.flatnonzero(eligible)
        best = allowed[np.argsort(-scores[allowed], kind="stable")[:k]]
        rows: NDArray[np.int32] = best.astype(np.int32)
        titles = self.packed.titles
        ids = self.packed.vocabulary.ids
        return Recommendations(
            [ids[int(row)] for row in rows],
            scores[rows],
            rows,
            unknown,
            None if titles is None else [titles[int(row)] for row in rows],
        )

    def _known(self, ids: Sequence[str | int], unknown: list[str]) -> NDArray[np.int32]:
        rows = self.packed.vocabulary.rows(ids)
        unknown += [str(id_) for id_, row in zip(ids, rows, strict=True) if row < 0]
        return rows[rows >= 0]

    def _rows(self, ids: Sequence[str | int]) -> NDArray[np.int32]:
        check_ids("items", ids)
        rows = self.packed.vocabulary.rows(ids)
        for id_, row in zip(ids, rows, strict=True):
            if row < 0:
                raise UnknownIdError(f"unknown item {id_!r}: it is not in this file")
        return rows

    def _user_row(self, user: str | int | None) -> int:
        vocabulary = self.packed.user_vocabulary
        if vocabulary is None:
            raise UnknownIdError(f"unknown user {user!r}: this file ships no users; give a history instead")
        row = int(vocabulary.rows([user if user is not None else ""])[0])
        if row < 0:
            raise UnknownIdError(
                f"unknown user {user!r}: the file does not ship this user; give a history instead"
            )
        return row

    def _seen(self, user_row: int) -> NDArray[np.int32]:
        seen = self.packed.seen
        if seen is None:
            return np.empty(0, np.int32)
        rows: NDArray[np.int32] = seen.indices[seen.indptr[user_row] : seen.indptr[user_row + 1]]
        return rows


def _dense(rows: Rows, row: int) -> NDArray[np.float64]:
    """One dequantised row, float64[dim]."""
    q = np.zeros(rows.dim)
    a, b = rows.indptr[row], rows.indptr[row + 1]
    q[rows.columns[a:b]] = float(rows.scales[row]) * rows.values[a:b].astype(np.float64)
    return q
