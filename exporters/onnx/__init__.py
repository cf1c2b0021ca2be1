"""The ONNX target: one graph of standard operators, run by any ONNX runtime."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.errors import TargetError
from sparsedevice.packing import PackedFile

from ..vocabulary_file import VOCABULARY_NAME, write_vocabulary
from .bitmap import build_bitmap
from .model import MODEL_NAME, write_graph, write_onnx
from .native import write_operator
from .pairs import build_pairs
from .readme import render
from .recommender import OnnxRecommender

__all__ = ["OnnxRecommender", "open_artefact", "render", "write", "write_bitmap", "write_onnx"]


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the model, the operator's sources, and ids and titles for apps that read no packed files.

    A model with a network has a graph of its own, which no operator takes over.
    """
    if packed.network is None:
        names = [*write_onnx(packed, folder), *write_operator(folder)]
    else:
        names = write_graph(build_pairs(packed, packed.network), folder)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


def write_bitmap(packed: PackedFile, folder: Path) -> list[str]:
    """Write a model whose item rows are bitmaps, with tables of its own, and ids and titles.

    Raises:
        TargetError: if the model has a network, or its rows differ much in length.
    """
    if packed.network is not None:
        raise TargetError(
            "target 'onnx' has no bitmaps for model 'neumf', whose entries are looked up by their columns;"
            " use --layout auto"
        )
    names = write_graph(build_bitmap(packed), folder)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


def open_artefact(packed: PackedFile, folder: Path) -> OnnxRecommender:
    """Open the model in ``folder`` with onnxruntime."""
    return OnnxRecommender(packed, folder / MODEL_NAME)
