"""The usual exports of a dense table: a query, one product, the choice of the best.

The query is the sum of a history's rows, the cheapest rule, or a user's row in a second table. What the user
has seen is left out, as the targets do. Tables hold random numbers and no scales: rows are taken to be of one
length.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.inference import ARMS
from benchmarks.peers.process import read_script

K = 20
#: Items of the longest history that a program of ExecuTorch takes.
MOST_SEEN = 1024

#: Asks for a user's row, or by -1 for the sum of the rows int64[h], which are left out in both cases.
Ask = Callable[[int, NDArray[np.int64]], object]


def write_onnx(folder: Path, n_items: int, n_users: int, dim: int, *, whole: bool) -> None:
    """MatMul with the transposed table, of int8 by MatMulInteger, then TopK; ``n_users`` 0: by history."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)

    def random(*shape: int) -> NDArray[Any]:
        if whole:
            return rng.integers(-127, 128, shape, dtype=np.int8)
        return rng.standard_normal(shape, dtype=np.float32)

    node, float_ = helper.make_node, TensorProto.FLOAT
    tables = {
        "table": random(dim, n_items),
        "first": np.array([0]),
        "lowest": np.array([-np.inf], np.float32),
    }
    if n_users:
        tables["looked_up"] = random(n_users, dim)
    else:
        # A copy: onnxruntime prepacks no table that is read by other nodes too, and is slower without.
        tables["looked_up"] = np.ascontiguousarray(tables["table"].T)
    nodes = [
        node("Gather", ["looked_up", "user" if n_users else "seen"], ["chosen"]),
        node("Cast", ["chosen"], ["numbers"], to=float_),
        node("ReduceSum", ["numbers", "first"], ["query"]),
    ]
    if whole:
        nodes += [
            node("DynamicQuantizeLinear", ["query"], ["q8", "step", "zero"]),
            node("MatMulInteger", ["q8", "table", "zero"], ["sums"]),
            node("Cast", ["sums"], ["scores"], to=float_),
        ]
    else:
        nodes.append(node("MatMul", ["query", "table"], ["scores"]))
    nodes += [
        node("Unsqueeze", ["seen", "first"], ["out"]),
        node("Shape", ["out"], ["out_shape"]),
        node("Expand", ["lowest", "out_shape"], ["never"]),
        node("ScatterElements", ["scores", "out", "never"], ["eligible"], axis=1),
        node("TopK", ["eligible", "k"], ["best", "rows"]),
    ]
    value = helper.make_tensor_value_info
    names = {"seen": "h", "k": 1} | ({"user": 1} if n_users else {})
    graph = helper.make_graph(
        nodes,
        "dense",
        [value(name, TensorProto.INT64, [size]) for name, size in names.items()],
        [value("best", float_, [1, "k"]), value("rows", TensorProto.INT64, [1, "k"])],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")


def write_executorch(folder: Path, n_items: int, n_users: int, dim: int, *, whole: bool) -> None:
    """A linear layer lowered to XNNPACK, float32 or int8 with a scale a row, then topk."""
    import torch
    from torch import Tensor, nn

    rng = np.random.default_rng(0)
    items = torch.from_numpy(rng.standard_normal((n_items, dim), dtype=np.float32))
    # XNNPACK keeps the layer's table in its own form, from which no row is gathered.
    rows = torch.from_numpy(rng.standard_normal((n_users, dim), dtype=np.float32)) if n_users else items
    looked_up = (rows * 30).round().clamp(-127, 127).to(torch.int8) if whole else rows

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(dim, n_items, bias=False)
            self.linear.weight.data = items
            self.register_buffer("rows", looked_up)

        def forward(self, user: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
            chosen = torch.index_select(self.rows, 0, user if n_users else seen).to(torch.float32)
            scores = self.linear(chosen if n_users else chosen.sum(0, keepdim=True))
            best, found = torch.topk(scores.scatter(1, seen.unsqueeze(0), -torch.inf), K)
            return best, found

    example = (torch.zeros(1, dtype=torch.int64), torch.arange(8))
    shapes = (None, {0: torch.export.Dim("h", min=1, max=MOST_SEEN)})
    lower = read_script(ARMS / "executorch_dense.py").lower
    program = lower("xnnpack-int8" if whole else "xnnpack-fp32", Dense().eval(), example, shapes)
    (folder / "model.pte").write_bytes(program)


def open_onnx(folder: Path) -> Ask:
    """What asks onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def ask(user: int, seen: NDArray[np.int64]) -> object:
        asked = {"user": np.array([user])} if user >= 0 else {}
        return session.run(None, {"seen": seen, "k": np.array([K]), **asked})

    return ask


def open_executorch(folder: Path) -> Ask:
    """What asks ExecuTorch."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)  # before a program is loaded: its threads are the runtime's own
    method = Runtime.get().load_program(folder / "model.pte").load_method("forward")

    def ask(user: int, seen: NDArray[np.int64]) -> object:
        return method.execute([torch.from_numpy(np.array([user])), torch.from_numpy(seen)])

    return ask
