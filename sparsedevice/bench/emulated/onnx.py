"""Graphs in the arm64 build of onnxruntime, under emulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsedevice.bench.emulated.server import Server
from sparsedevice.bench.emulated.userland import python_of
from sparsedevice.bench.native.build import compile_once, find_compiler
from sparsedevice.exporters.row_recommender import RowRecommender, Rows
from sparsedevice.packing import PackedFile

SERVE = Path(__file__).parent / "serve_onnx.py"


def start_onnx(root: Path) -> Server:
    """The arm64 onnxruntime, waiting for questions."""
    return Server([python_of(root), SERVE], root)


def build_operator(sources: Path, *, optimise: str = "-O3") -> Path:
    """The operator of an ``onnx-native`` bundle, for arm64.

    Raises:
        TargetError: if there is no cross compiler, or it fails.
    """
    from sparsedevice.exporters.c import SOURCE_NAME
    from sparsedevice.exporters.onnx import native

    inputs = [path for path in sources.iterdir() if path.suffix in (".c", ".h")]
    files = [native.OPERATOR_NAME, SOURCE_NAME]
    flags = [*native.FLAGS, optimise, "-I."]
    return compile_once(
        "sd-onnx-arm64.so", find_compiler("aarch64"), [*flags, *files], inputs, folder=sources
    )


class OnnxArm64(RowRecommender):  # type: ignore[misc]
    """A graph in the arm64 onnxruntime; ids and titles come from the packed file here."""

    def __init__(self, packed: PackedFile, model: Path, server: Server, library: Path | None = None) -> None:
        """Nothing is loaded before the first question.

        Args:
            packed: the packed file that the graph was made of.
            model: the graph.
            server: of :func:`start_onnx`.
            library: of :func:`build_operator`, where the graph needs it.
        """
        super().__init__(packed)
        self._server = server
        self._files = {"model": str(model.resolve()), "library": str(library) if library else None}

    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """See :meth:`RowRecommender.top_rows`; as ``OnnxRecommender``."""
        if candidates is not None and not len(candidates):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        feed = {
            "history": history.tolist(),
            "user": [user],
            "like": [like],
            "excluded": excluded.tolist(),
            "candidates": [] if candidates is None else candidates.tolist(),
            "k": [k],
        }
        self._server.send(json.dumps({**self._files, "feed": feed}).encode() + b"\n")
        answer = json.loads(self._server.line())
        return np.array(answer["rows"], np.int64), np.array(answer["bits"], np.uint32).view(np.float32)
