"""The ONNX graph around the operator ``com.sparsedevice::ScoreTopK``, and the operator's library."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from sparsedevice import __version__
from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

from ..c import SOURCE_NAME, write_core
from ..compiler import find_compiler, run_compiler
from ..native import ROWS_HEADER
from ..targets import PACKED_NAME
from ..vocabulary_file import VOCABULARY_NAME, write_vocabulary
from .graph import IR_VERSION, OPSET, graph_inputs, graph_outputs
from .model import MODEL_NAME
from .recommender import OnnxRecommender

SOURCES = Path(__file__).parent / "csrc"
OPERATOR_NAME, ABI_NAME = "sd_onnx.c", "sd_ort.h"
DOMAIN = "com.sparsedevice"
_FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden")


def write_native(packed: PackedFile, folder: Path) -> list[str]:
    """Write the graph and the operator's sources into ``folder``, where the packed file is.

    The graph holds no table: its one initializer is the packed file itself, as external data.

    Returns:
        The names of the files written.
    """
    model = TensorProto(
        name="model",
        data_type=TensorProto.UINT8,
        dims=[len(packed.data)],
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", PACKED_NAME), ("offset", "0"), ("length", str(len(packed.data)))):
        entry = model.external_data.add()
        entry.key, entry.value = key, value
    inputs = graph_inputs(users=True)
    node = helper.make_node(
        "ScoreTopK",
        ["model", *(value.name for value in inputs)],
        ["rows", "scores"],
        name="recommend",
        domain=DOMAIN,
    )
    graph = helper.make_graph([node], "sparsedevice", inputs, graph_outputs(), [model])
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
        producer_name="sparsedevice",
        producer_version=__version__,
    )
    with atomic_file(folder / MODEL_NAME) as file:
        file.write(proto.SerializeToString(deterministic=True))
    onnx.checker.check_model(folder / MODEL_NAME)
    names = [MODEL_NAME, *write_core(folder)]
    for source in (ROWS_HEADER, SOURCES / ABI_NAME, SOURCES / OPERATOR_NAME):
        (folder / source.name).write_bytes(source.read_bytes())
        names.append(source.name)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


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
    run_compiler([*find_compiler(), *_FLAGS, f"-I{sources}", *parts])


def operator_library(sources: Path) -> Path:
    """The library of the operator in ``sources``, compiled once in a process for equal sources."""
    names = (SOURCE_NAME, ROWS_HEADER.name, ABI_NAME, OPERATOR_NAME)
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
