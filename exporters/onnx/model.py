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

from ..targets import PACKED_NAME
from .graph import DOMAIN, IR_VERSION, OPSET, build_model

MODEL_NAME = "model.onnx"
DATA_NAME = "model.onnx.data"
#: Graphs with more bytes of tables keep them in a file of their own, which a runtime maps instead of copying.
INLINE_BYTES = 1 << 20
#: Tables below this size stay in the graph in any case.
_MIN_EXTERNAL_BYTES = 1 << 12
_PAGE_BYTES = 4096


def write_onnx(packed: PackedFile, folder: Path) -> list[str]:
    """Write ``model.onnx`` into ``folder``: a graph over the packed file, which is there as ``model.sd``.

    The tables are sections of that file, named as external data; a runtime maps them. Where it is not there
    yet it is written too.

    Returns:
        The names of the files written.
    """
    names = [MODEL_NAME]
    if not (folder / PACKED_NAME).exists():
        with atomic_file(folder / PACKED_NAME) as file:
            file.write(packed.data.tobytes())
        names.append(PACKED_NAME)
    graph, function = build_model(packed)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    _write(helper.make_model(graph, opset_imports=opsets, functions=[function], **_MADE_BY), folder)
    return names


def write_graph(graph: onnx.GraphProto, folder: Path) -> list[str]:
    """Write ``model.onnx``, and ``model.onnx.data`` where the tables are large, into ``folder``.

    Returns:
        The names of the files written.
    """
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], **_MADE_BY)
    names = [MODEL_NAME]
    if sum(len(tensor.raw_data) for tensor in graph.initializer) > INLINE_BYTES:
        with atomic_file(folder / DATA_NAME) as file:
            _move_out(model.graph.initializer, file)
        names.append(DATA_NAME)
    _write(model, folder)
    return names


_MADE_BY = {"ir_version": IR_VERSION, "producer_name": "sparsedevice", "producer_version": __version__}


def _write(model: onnx.ModelProto, folder: Path) -> None:
    """Write a model, checked with ``onnx.checker`` and strict shape inference."""
    path = folder / MODEL_NAME
    with atomic_file(path) as file:
        file.write(model.SerializeToString(deterministic=True))
    # By path, so that the checker follows the external data too.
    onnx.checker.check_model(path, full_check=True)


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
