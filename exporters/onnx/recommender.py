"""Recommending through onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing import PackedFile

from ..row_recommender import RowRecommender, Rows
from .session import open_session, run_session


class OnnxRecommender(RowRecommender):
    """Scores, excludes and ranks with onnxruntime; ids and titles come from the packed file.

    Attributes:
        session: the ``onnxruntime.InferenceSession``.
    """

    def __init__(self, packed: PackedFile, model: str | Path, *, library: Path | None = None) -> None:
        """Load a model.

        Args:
            packed: the packed file that the model was made of.
            model: the ``.onnx`` file.
            library: a library of operators that the session shall use instead of the model's functions.

        Raises:
            MissingExtraError: if onnxruntime is not installed.
            BundleError: if onnxruntime does not accept the model.
        """
        super().__init__(packed)
        self._model = Path(model)
        self.session = open_session(self._model, library=library)

    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """See :meth:`RowRecommender.top_rows`.

        Raises:
            BundleError: if the model fails, the packed file beside it being another one, say.
        """
        if candidates is not None and not len(candidates):
            # To the graph no candidates means all of them.
            return np.empty(0, np.int64), np.empty(0, np.float32)
        feed = {
            "history": history,
            "user": np.array([user]),
            "like": np.array([like]),
            "excluded": excluded,
            "candidates": np.empty(0, np.int64) if candidates is None else candidates,
            "k": np.array([k]),
        }
        rows, scores = run_session(self.session, self._model, ["rows", "scores"], feed)
        return rows, scores
