"""The ONNX target: one graph of standard operators, run by any ONNX runtime."""

from __future__ import annotations

import json
from pathlib import Path

from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

from .model import MODEL_NAME, write_onnx
from .recommender import OnnxRecommender

VOCABULARY_NAME = "vocabulary.json"

__all__ = ["OnnxRecommender", "open_artefact", "write", "write_onnx"]


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the model, and the ids and titles by row for apps that have no reader of packed files."""
    names = write_onnx(packed, folder)
    users = packed.user_vocabulary
    vocabulary = {
        "items": list(packed.vocabulary.ids),
        "titles": None if packed.titles is None else list(packed.titles),
        "users": None if users is None else list(users.ids),
    }
    with atomic_file(folder / VOCABULARY_NAME) as file:
        file.write(json.dumps(vocabulary, ensure_ascii=False, separators=(",", ":")).encode())
    return [*names, VOCABULARY_NAME]


def open_artefact(packed: PackedFile, folder: Path) -> OnnxRecommender:
    """Open the model in ``folder`` with onnxruntime."""
    return OnnxRecommender(packed, folder / MODEL_NAME)
