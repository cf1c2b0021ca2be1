"""The C target: the packed file with the C core as one header and one source, and two tools."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

from .amalgamate import HEADER_NAME, INTERNAL_NAME, SOURCE_NAME, amalgamate, internal_header
from .readme import render
from .recommender import CRecommender, load_core

#: Sources that every bundle of this target holds as they are.
SOURCES = Path(__file__).parent / "csrc"

__all__ = [
    "HEADER_NAME",
    "SOURCE_NAME",
    "CRecommender",
    "amalgamate",
    "build",
    "open_artefact",
    "render",
    "write",
    "write_core",
]


def write(packed: PackedFile, folder: Path) -> list[str]:  # noqa: ARG001
    """Write the core and the tools."""
    (folder / INTERNAL_NAME).write_text(internal_header(), encoding="utf-8")
    names = [*write_core(folder), INTERNAL_NAME]
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".c", ".h", ".txt") or path.name == "Makefile":
            (folder / path.name).write_bytes(path.read_bytes())
            names.append(path.name)
    return names


def write_core(folder: Path) -> list[str]:
    """Write the core as one header and one source, and return their names."""
    for name, text in zip((HEADER_NAME, SOURCE_NAME), amalgamate(), strict=True):
        with atomic_file(folder / name) as file:
            file.write(text.encode())
    return [HEADER_NAME, SOURCE_NAME]


def build(folder: Path) -> None:
    """Compile the core in ``folder``, once in a process for equal sources."""
    load_core(folder)


def open_artefact(packed: PackedFile, folder: Path) -> CRecommender:
    """Compile the sources in ``folder`` and open the packed file with them."""
    return CRecommender(packed, folder)
