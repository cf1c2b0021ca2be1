"""The part of a recommender that every exported artefact shares: ids on the outside, row numbers within.

An artefact holds tables and works on row numbers. Ids, titles and the users' seen lists come from the
packed file beside it; the core finds and decodes ids and titles, which lie coded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, UnknownIdError
from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import Kind
from sparsedevice.runtime import Recommendations, Recommender
from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.recommender import Exclude, check_ids, check_k, check_query

Rows = NDArray[np.int64]
_NONE = np.empty(0, np.int64)


class RowRecommender(Recommender):
    """A recommender over an artefact that answers in row numbers.

    Attributes:
        packed: the packed file that the artefact was made of.
    """

    def __init__(self, packed: PackedFile) -> None:
        self.packed = packed
        # The core opens no file with a network of pairs; the file's own lists serve there.
        network = packed.network is not None
        self._texts = None if network else CoreRecommender(packed.data, packed.path, verify=False)

    @abstractmethod
    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """The k best rows and their scores, best first, ties by the lower row.

        Args:
            history: int64[h], known rows; used where ``user`` and ``like`` are -1.
            user: row of a shipped user, or -1.
            like: the row whose neighbours are wanted, or -1.
            excluded: int64[e], rows to leave out.
            candidates: int64[c], rows to choose among; None for all.
            k: how many; fewer come back where fewer rows are eligible.
        """

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
        check_ids("candidates", candidates)
        unknown: list[str] = []
        user_row, rows = -1, _NONE
        if history is not None:
            seen = rows = self._known(history, unknown)
        else:
            user_row = self._user_row(user)
            seen = self._seen(user_row)
        excluded = self._excluded(exclude, seen, unknown)
        allowed = None if candidates is None else self._known(candidates, unknown)
        answer = self.top_rows(
            history=rows, user=user_row, like=-1, excluded=excluded, candidates=allowed, k=k
        )
        return self._named(*answer, unknown)

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
        known = _NONE if history is None else self._known(history, [])
        user_row = -1 if history is not None else self._user_row(user)
        wanted = self._rows(items)
        rows, scores = self.top_rows(
            history=known, user=user_row, like=-1, excluded=_NONE, candidates=wanted, k=max(len(wanted), 1)
        )
        by_row = np.argsort(rows)
        ranked: NDArray[np.float32] = scores[by_row][np.searchsorted(rows[by_row], wanted)]
        return ranked

    def similar(self, item: str | int, k: int = 10) -> Recommendations:
        """See :meth:`Recommender.similar`."""
        k = check_k(k)
        row = self.packed.vocabulary.row(item)
        answer = self.top_rows(
            history=_NONE, user=-1, like=row, excluded=np.array([row]), candidates=None, k=k
        )
        return self._named(*answer, [])

    def _excluded(self, exclude: Exclude, seen: Rows, unknown: list[str]) -> Rows:
        if not isinstance(exclude, str):
            return np.concatenate((seen, self._known(exclude, unknown)))
        if exclude not in ("seen", "none"):
            raise ConfigError(f"exclude is {exclude!r}; use 'seen', 'none' or a list of ids")
        return seen if exclude == "seen" else _NONE

    def _named(self, rows: Rows, scores: NDArray[np.float32], unknown: list[str]) -> Recommendations:
        numbers = rows.astype(np.int32)
        if self._texts is not None:
            ids, titles = self._texts.texts(numbers)
            return Recommendations(ids, scores, numbers, unknown, titles)
        all_ids, all_titles = self.packed.vocabulary.ids, self.packed.titles
        ids = [all_ids[int(row)] for row in rows]
        titles = None if all_titles is None else [all_titles[int(row)] for row in rows]
        return Recommendations(ids, scores, numbers, unknown, titles)

    def find_rows(self, ids: Sequence[str | int]) -> NDArray[np.int32]:
        """Row of each item, int32[n], -1 for one that is not in the file."""
        return (self._texts or self.packed.vocabulary).rows(ids)

    def _known(self, ids: Sequence[str | int], unknown: list[str]) -> Rows:
        rows = self.find_rows(ids).astype(np.int64)
        known = rows >= 0
        if known.all():
            return rows
        unknown += [str(id_) for id_, found in zip(ids, known, strict=True) if not found]
        return rows[known]

    def _rows(self, ids: Sequence[str | int]) -> Rows:
        check_ids("items", ids)
        rows = self.find_rows(ids)
        for id_, row in zip(ids, rows, strict=True):
            if row < 0:
                raise UnknownIdError(f"unknown item {id_!r}: it is not in this file")
        return rows.astype(np.int64)

    def _user_row(self, user: str | int | None) -> int:
        vocabulary = self.packed.user_vocabulary
        if vocabulary is None:
            raise UnknownIdError(f"unknown user {user!r}: this file ships no users; give a history instead")
        id_ = "" if user is None else user
        row = int(vocabulary.rows([id_])[0]) if self._texts is None else self._texts.user_row(id_)
        if row < 0:
            raise UnknownIdError(
                f"unknown user {user!r}: the file does not ship this user; give a history instead"
            )
        return row

    def _seen(self, user_row: int) -> Rows:
        if Kind.SEEN_ROWS not in self.packed.sections:
            return _NONE
        # Where they lie in the file: all users' lists at once would be a copy of the section.
        first, end = self.packed.section(Kind.SEEN_POINTERS, "<u4")[user_row : user_row + 2].tolist()
        return self.packed.section(Kind.SEEN_ROWS, "<u4")[first:end].astype(np.int64)
