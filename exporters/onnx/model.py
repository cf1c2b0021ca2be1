"""Writing the ONNX artefact of a packed file, checked before it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx import helper
from onnx.external_data_helper import set_external_data

from sparsedevice import __version__
from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

from .graph import IR_VERSION, OPSET, build_graph

MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"
#: Graphs with more bytes of tables keep them in a file of their own, which a runtime maps instead of copying.
INLINE_BYTES = 1 << 20
#: Tables below this size stay in the graph in any case.
_MIN_EXTERNAL_BYTES = 1 << 12
_PAGE_BYTES = 4096


def write_onnx(packed: PackedFile, folder: Path) -> list[str]:
    """Write the graph of a packed file's recommender into ``folder``; see :func:`write_graph`."""
    return write_graph(build_graph(packed), folder)


def write_graph(graph: onnx.GraphProto, folder: Path) -> list[str]:
    """Write ``model.onnx``, and ``model.onnx.data`` where the tables are large, into ``folder``.

    Both are checked with ``onnx.checker`` and strict shape inference.

    Returns:
        The names of the files written.
    """
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sparsedevice",
        producer_version=__version__,
    )
    names = [MODEL_NAME]
    if sum(len(tensor.raw_data) for tensor in graph.initializer) > INLINE_BYTES:
        with atomic_file(folder / DATA_NAME) as file:
            _move_out(model.graph.initializer, file)
        names.append(DATA_NAME)
    path = folder / MODEL_NAME
    with atomic_file(path) as file:
        file.write(model.SerializeToString(deterministic=True))
    # By path, so that the checker follows the external data too.
    onnx.checker.check_model(path, full_check=True)
    return names


def _move_out(tensors: Iterable[onnx.TensorProto], file: BinaryIO) -> None:
    """Move the bytes of large tensors into ``file``, each at the start of a page so that it can be mapped."""
    for tensor in tensors:
        if len(tensor.raw_data) < _MIN_EXTERNAL_BYTES:
            continue
        file.write(bytes(-file.tell() % _PAGE_BYTES))
        set_external_data(tensor, DATA_NAME, offset=file.tell(), length=len(tensor.raw_data))
        file.write(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
