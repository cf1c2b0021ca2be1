"""Memory and time of onnxruntime on the packed graph, run both ways, and on dense graphs of the same table.

    python -m benchmarks.exporters.onnx_memory --items 1000000

Every arm runs in a fresh process. Memory is the growth of resident memory from before the session was made
to after the last query, anonymous and file-backed apart; onnxruntime's own 10 MB are in it. Beside the median
time of a query stands that of the CPU alone, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.exporters.big_table import write_big_table
from sparsedevice.bench.memory import read_memory, release_free_memory, resident_file_bytes
from sparsedevice.exporters.onnx import write_onnx
from sparsedevice.exporters.onnx.native import compile_operator, write_operator

ARMS = (
    "packed int8, standard operators",
    "packed int4, standard operators",
    "packed int8, operator",
    "packed int4, operator",
    "dense fp32",
    "dense int8",
)
LIBRARY = "libsd_onnx.so"
QUERIES = 30
K = 20


def write_dense(folder: Path, n_items: int, dim: int, *, whole: bool) -> None:
    """The usual export: one MatMul with the transposed table, then TopK; int8 by MatMulInteger."""
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


def measure(folder: Path, n_items: int, dim: int, *, arm: str) -> dict[str, Any]:
    """Load the model in ``folder``, ask it, and return bytes and milliseconds."""
    rng = np.random.default_rng(1)
    if arm.startswith("packed"):
        history = np.sort(rng.choice(n_items, 20, replace=False))
        feed = {
            "history": history,
            "user": np.array([-1]),
            "like": np.array([-1]),
            "excluded": history,
            "candidates": np.empty(0, np.int64),
            "k": np.array([K]),
        }
    else:
        feed = {"query": rng.standard_normal((1, dim), dtype=np.float32), "k": np.array([K])}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    if "operator" in arm.split():
        options.register_custom_ops_library(str(folder / LIBRARY))
    release_free_memory()
    before = read_memory()
    assert before is not None, "this measurement needs /proc/self/smaps_rollup"
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - started) * 1e3
    samples, busy = [], []
    for _ in range(QUERIES):
        started, working = time.perf_counter(), time.thread_time()
        session.run(None, feed)
        busy.append((time.thread_time() - working) * 1e3)
        samples.append((time.perf_counter() - started) * 1e3)
    after = read_memory()
    assert after is not None
    return {
        "file_bytes": sum(file.stat().st_size for file in folder.glob("model.*")),
        "load_ms": load_ms,
        "p50_ms": float(np.median(samples)),
        "cpu_ms": float(np.median(busy)),
        "anonymous_bytes": after.anonymous_bytes - before.anonymous_bytes,
        "table_mapped_bytes": resident_file_bytes(folder),
        "session_bytes": after.total_bytes - before.total_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--measure", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        result = measure(arguments.folder, arguments.items, arguments.dim, arm=arguments.measure)
        print(json.dumps(result))
        return
    print(
        "| arm | files MB | load ms | median ms | of the CPU | anonymous MB | table mapped MB | session MB |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for arm in ARMS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if arm.startswith("packed"):
                values = "int4" if "int4" in arm else "int8"
                path = folder / "model.sd"
                packed = write_big_table(path, n_items=arguments.items, dim=arguments.dim, values=values)
                write_onnx(packed, folder)
                if "operator" in arm.split():
                    write_operator(folder)
                    compile_operator(folder, folder / LIBRARY)
            else:
                write_dense(folder, arguments.items, arguments.dim, whole=arm == "dense int8")
            command = [sys.executable, "-m", "benchmarks.exporters.onnx_memory", "--measure", arm]
            command += ["--folder", name, "--items", str(arguments.items), "--dim", str(arguments.dim)]
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"| {arm} | {got['file_bytes'] / 1e6:.2f} | {got['load_ms']:.0f} | {got['p50_ms']:.2f} |"
            f" {got['cpu_ms']:.2f} | {got['anonymous_bytes'] / 1e6:.1f} |"
            f" {got['table_mapped_bytes'] / 1e6:.1f} | {got['session_bytes'] / 1e6:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
