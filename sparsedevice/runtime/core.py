"""The C core behind the common interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError
from sparsedevice.packing.reader import map_file
from sparsedevice.runtime import _core
from sparsedevice.runtime.recommender import Exclude, Recommendations, Recommender

_SENTENCES = {
    "magic": "this is not a sparsedevice packed file",
    "version": "the file has a format version that is not known here; update sparsedevice",
    "byte-order": "the file was written with another byte order",
    "truncated": "the file ends too early; copy it again",
    "header-checksum": "header or section table do not match their checksum",
    "sections": "the file has a section that the core does not know (a network, for instance, as of model"
    " 'neumf': open such a file's bundle with its own backend), or lacks one",
    "checksum": "a section does not match its checksum; copy the file again",
}


class CoreRecommender(Recommender):
    """Answers from the mapped file; allocates a few kilobytes a call and keeps nothing.

    Attributes:
        path: the file, or None for bytes in memory.
    """

    def __init__(self, data: Any, path: Path | None = None, *, verify: bool = True) -> None:
        self.path = path
        try:
            self._model = _core.Model(data)
            if verify:
                self._model.verify()
        except _core.FormatError as error:
            promise = str(error)
            sentence = _SENTENCES.get(promise, f"the file breaks the promise {promise!r} of docs/format.md")
            raise PackedFileError(promise, f"{path}: {sentence}" if path else sentence) from None

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> CoreRecommender:
        """Map a packed file.

        Raises:
            PackedFileError: naming the broken promise.
            SparseDeviceError: if the file cannot be read.
        """
        path = Path(path)
        return cls(map_file(path), path, verify=verify)

    @property
    def kernel(self) -> str:
        """The kernel in use: scalar, avx2, avx512, neon, neon-dot or wasm-simd."""
        return self._model.kernel

    @kernel.setter
    def kernel(self, name: str) -> None:
        self._model.kernel = name

    @property
    def kernels(self) -> list[str]:
        """The kernels that run on this machine."""
        return self._model.kernels

    def rows(self, ids: Sequence[str | int]) -> NDArray[np.int32]:
        """Row of each item, int32[n], -1 for one that is not in the file."""
        return np.frombuffer(self._model.rows(ids), np.int32)

    def user_row(self, id_: str | int) -> int:
        """Row of a shipped user, -1 for one that is not in the file."""
        return self._model.user_row(id_)

    def texts(self, rows: NDArray[np.int32]) -> tuple[list[str], list[str] | None]:
        """Ids of rows int32[n], and their titles where the file has titles.

        Raises:
            IndexError: if there is no such row.
        """
        return self._model.texts(np.ascontiguousarray(rows, np.int32))

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
        return _answer(*self._model.recommend(history, user, k, exclude, candidates))

    def recommend_batch(
        self,
        *,
        histories: Sequence[Sequence[str | int]] | None = None,
        users: Sequence[str | int] | None = None,
        k: int = 10,
        exclude: Exclude = "seen",
    ) -> list[Recommendations]:
        """What :meth:`recommend` gives for each history or user, in passes that answer 16 at once.

        Catalogues that do not fit the caches are read once for all 16.

        Raises:
            ConfigError: if k is below 1, or not exactly one of histories and users is given.
            UnknownIdError: if a user is not in the file.
        """
        return [_answer(*one) for one in self._model.recommend_batch(histories, users, k, exclude)]

    def lookup(self, ids: Sequence[str | int]) -> sp.csr_array:
        """See :meth:`Recommender.lookup`."""
        pointers, columns, values = self._model.lookup(ids)
        indptr = np.frombuffer(pointers, np.int64)
        parts = (np.frombuffer(values, np.float32), np.frombuffer(columns, np.int32), indptr)
        return sp.csr_array(parts, shape=(len(indptr) - 1, self._model.dim))

    def score(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        items: Sequence[str | int],
    ) -> NDArray[np.float32]:
        """See :meth:`Recommender.score`."""
        return np.frombuffer(self._model.score(history, user, items), np.float32)

    def similar(self, item: str | int, k: int = 10) -> Recommendations:
        """See :meth:`Recommender.similar`."""
        return _answer(*self._model.similar(item, k))


def _answer(
    items: list[str], scores: bytes, rows: bytes, unknown: list[str], titles: list[str] | None
) -> Recommendations:
    return Recommendations(
        items, np.frombuffer(scores, np.float32), np.frombuffer(rows, np.int32), unknown, titles
    )
