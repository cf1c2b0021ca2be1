"""The ExecuTorch target: one program of portable operators, run by the stock runtime."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.packing import PackedFile

from ..vocabulary_file import VOCABULARY_NAME, write_vocabulary
from .program import DATA_NAME, MODEL_NAME, write_program
from .readme import render
from .recommender import ExecutorchRecommender

__all__ = [
    "ExecutorchRecommender",
    "open_artefact",
    "open_external",
    "render",
    "write",
    "write_external",
    "write_program",
]


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the program, and the ids and titles by row for apps that have no reader of packed files."""
    return _write(packed, folder, external=False)


def write_external(packed: PackedFile, folder: Path) -> list[str]:
    """Write the same with the program's tables in a file of their own."""
    return _write(packed, folder, external=True)


def _write(packed: PackedFile, folder: Path, *, external: bool) -> list[str]:
    names = write_program(packed, folder, external=external)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


def open_artefact(packed: PackedFile, folder: Path) -> ExecutorchRecommender:
    """Open the program in ``folder`` with the ExecuTorch runtime."""
    return ExecutorchRecommender(packed, folder / MODEL_NAME)


def open_external(packed: PackedFile, folder: Path) -> ExecutorchRecommender:
    """Open the program in ``folder`` with its tables beside it."""
    return ExecutorchRecommender(packed, folder / MODEL_NAME, folder / DATA_NAME)
