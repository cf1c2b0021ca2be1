"""The operator ``com.sparsedevice::SparseTopK`` over the C core: its sources, and its library."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

from sparsedevice.errors import ConfigError
from sparsedevice.packing import PackedFile

from ..c import SOURCE_NAME, write_core
from ..compiler import find_compiler, run_compiler
from ..native import ROWS_HEADER
from .model import MODEL_NAME
from .recommender import OnnxRecommender

SOURCES = Path(__file__).parent / "csrc"
OPERATOR_NAME, ABI_NAME = "sd_onnx.c", "sd_ort.h"
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")


def write_operator(folder: Path) -> list[str]:
    """Write the operator's sources into ``folder``.

    Returns:
        The names of the files written.
    """
    names = write_core(folder)
    for source in (ROWS_HEADER, SOURCES / ABI_NAME, SOURCES / OPERATOR_NAME):
        (folder / source.name).write_bytes(source.read_bytes())
        names.append(source.name)
    return names


def open_native(packed: PackedFile, folder: Path) -> OnnxRecommender:
    """Open the graph in ``folder`` with onnxruntime and the operator compiled from the sources beside it.

    Raises:
        BundleError: if onnxruntime does not accept the graph.
        SparseDeviceError: if there is no compiler, or it fails.
    """
    return OnnxRecommender(packed, folder / MODEL_NAME, library=operator_library(folder))


def compile_operator(sources: Path, library: Path) -> None:
    """Compile the operator in ``sources`` into a shared library.

    Raises:
        SparseDeviceError: if there is no compiler, or it fails.
    """
    parts: list[str | Path] = [sources / OPERATOR_NAME, sources / SOURCE_NAME, "-o", library]
    run_compiler([*find_compiler(), *FLAGS, f"-I{sources}", *parts])


def operator_library(sources: Path) -> Path:
    """The library of the operator in ``sources``, compiled once in a process for equal sources.

    Raises:
        ConfigError: if the sources are not there, as no operator runs the model.
        SparseDeviceError: if there is no compiler, or it fails.
    """
    names = (SOURCE_NAME, ROWS_HEADER.name, ABI_NAME, OPERATOR_NAME)
    if not all((sources / name).is_file() for name in names):
        raise ConfigError(
            f"{sources} has no sources of an operator: its model runs by standard operators only; use"
            " backend 'onnx'"
        )
    content = hashlib.sha256(b"".join((sources / name).read_bytes() for name in names)).hexdigest()
    known = _libraries()
    library = Path(known.name) / f"{content[:16]}.so"
    if not library.exists():
        compile_operator(sources, library)
    return library


@functools.cache
def _libraries() -> tempfile.TemporaryDirectory[str]:
    """A folder for compiled operators, which goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="sparsedevice-")
