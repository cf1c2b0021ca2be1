"""The usual exports of a dense table: one product with the query, then the choice of the best."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.inference import ARMS
from benchmarks.peers.process import read_script

K = 20


def write_onnx(folder: Path, n_items: int, dim: int, *, whole: bool) -> None:
    """MatMul with the transposed table, of int8 by MatMulInteger, then TopK."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    if whole:
        table = rng.integers(-127, 128, (dim, n_items), dtype=np.int8)
        nodes = [
            helper.make_node("DynamicQuantizeLinear", ["query"], ["q8", "step", "zero"]),
            helper.make_node("MatMulInteger", ["q8", "table", "zero"], ["sums"]),
            helper.make_node("Cast", ["sums"], ["whole"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["whole", "step"], ["all"]),
        ]
    else:
        table = rng.standard_normal((dim, n_items), dtype=np.float32)
        nodes = [helper.make_node("MatMul", ["query", "table"], ["all"])]
    nodes.append(helper.make_node("TopK", ["all", "k"], ["scores", "rows"]))
    graph = helper.make_graph(
        nodes,
        "dense",
        [
            helper.make_tensor_value_info("query", TensorProto.FLOAT, [1, dim]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "k"]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, [1, "k"]),
        ],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")


def write_executorch(folder: Path, n_items: int, dim: int, *, whole: bool) -> None:
    """A linear layer lowered to XNNPACK, float32 or int8 with a scale a row, then topk."""
    items = np.random.default_rng(0).standard_normal((n_items, dim), dtype=np.float32)
    variant = "xnnpack-int8" if whole else "xnnpack-fp32"
    program = read_script(ARMS / "executorch_dense.py").program(variant, items, items[0], K)
    (folder / "model.pte").write_bytes(program)


def open_onnx(folder: Path, dim: int) -> Callable[[], object]:
    """What asks onnxruntime for the best of a random query."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    query = np.random.default_rng(1).standard_normal((1, dim), dtype=np.float32)
    return lambda: session.run(None, {"query": query, "k": np.array([K])})


def open_executorch(folder: Path, dim: int) -> Callable[[], object]:
    """What asks ExecuTorch for the best of a random query."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)  # before a program is loaded: its threads are the runtime's own
    method = Runtime.get().load_program(folder / "model.pte").load_method("forward")
    query = torch.from_numpy(np.random.default_rng(1).standard_normal((1, dim), dtype=np.float32))
    return lambda: method.execute([query])
