"""The ExecuTorch target: one program of portable operators, run by the stock runtime."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.packing import PackedFile

from ..vocabulary_file import VOCABULARY_NAME, write_vocabulary
from .program import MODEL_NAME, write_program
from .readme import render
from .recommender import ExecutorchRecommender

__all__ = ["ExecutorchRecommender", "open_artefact", "render", "write", "write_program"]


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the program, and the ids and titles by row for apps that have no reader of packed files."""
    names = write_program(packed, folder)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


def open_artefact(packed: PackedFile, folder: Path) -> ExecutorchRecommender:
    """Open the program in ``folder`` with the ExecuTorch runtime."""
    return ExecutorchRecommender(packed, folder / MODEL_NAME)
