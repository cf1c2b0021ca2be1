"""Top-k in a page and in Node, beside the native core and a dense model in onnxruntime-web.

    npm install --prefix /tmp/ort onnxruntime-web
    python -m benchmarks.web.topk --ort /tmp/ort/node_modules/onnxruntime-web
    python -m benchmarks.web.topk --ort ... --model bundle/model.sd

Needs chromium with chromedriver, Node 18 or newer, and a compiler for WebAssembly. All arms are one thread
and answer the same question: a history of 20 ids in, the 20 best ids that are not in it out. The dense
model is an fp32 table of the same shape, with the graph Gather, ReduceSum, Gemm, ScatterElements, TopK; a
second graph of MatMul and TopK alone gets its query vector ready-made and answers in row numbers. The arms
take turns; printed are the medians over the turns, in microseconds, as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runtime.topk import synthetic
from sparsedevice.exporters.web import write_assets
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.core import CoreRecommender
from tests.web.webdriver import Browser, find_browser

HERE = Path(__file__).parent
K, LENGTH = 20, 20


class Handler(SimpleHTTPRequestHandler):
    """Isolates the page, which gives it the finer clock."""

    def end_headers(self) -> None:
        """Add the two headers."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


def write_dense(folder: Path, n_items: int, dim: int) -> None:
    """Two graphs over a random fp32 table: history to best rows, and ready-made query to best rows."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = np.random.default_rng(0).normal(size=(n_items, dim)).astype(np.float32)
    best = [
        helper.make_tensor_value_info("best", TensorProto.FLOAT, [1, K]),
        helper.make_tensor_value_info("rows", TensorProto.INT64, [1, K]),
    ]
    k = numpy_helper.from_array(np.array([K], np.int64), "k")
    minus = np.full((1, LENGTH), -np.inf, np.float32)
    graphs = {
        "dense.onnx": helper.make_graph(
            [
                helper.make_node("Gather", ["table", "history"], ["known"]),
                helper.make_node("ReduceSum", ["known", "first"], ["q"], keepdims=1),
                helper.make_node("Gemm", ["q", "table"], ["all"], transB=1),
                helper.make_node("Unsqueeze", ["history", "first"], ["seen"]),
                helper.make_node("ScatterElements", ["all", "seen", "minus"], ["scores"], axis=1),
                helper.make_node("TopK", ["scores", "k"], ["best", "rows"]),
            ],
            "dense",
            [helper.make_tensor_value_info("history", TensorProto.INT64, [LENGTH])],
            best,
            [
                numpy_helper.from_array(table, "table"),
                numpy_helper.from_array(np.array([0], np.int64), "first"),
                numpy_helper.from_array(minus, "minus"),
                k,
            ],
        ),
        "dense-rows.onnx": helper.make_graph(
            [
                helper.make_node("MatMul", ["q", "table"], ["scores"]),
                helper.make_node("TopK", ["scores", "k"], ["best", "rows"]),
            ],
            "dense-rows",
            [helper.make_tensor_value_info("q", TensorProto.FLOAT, [1, dim])],
            best,
            [numpy_helper.from_array(np.ascontiguousarray(table.T), "table"), k],
        ),
    }
    for name, graph in graphs.items():
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(model)
        onnx.save(model, folder / name)


def native(path: Path, kernel: str) -> float:
    """Median microseconds of `recommend` in Python over the C core."""
    recommender = CoreRecommender.open(path)
    recommender.kernel = kernel
    n = PackedFile.open(path).n_items
    asked = [[str((i * 977 + j * 10139 + 7) % n) for j in range(LENGTH)] for i in range(64)]
    times = []
    for i in range(3000):
        start = time.perf_counter()
        recommender.recommend(history=asked[i % 64], k=K)
        times.append(time.perf_counter() - start)
    return statistics.median(times[500:]) * 1e6


def node(folder: Path, model: Path, simd: bool) -> float:
    module = (folder / "sparsedevice.js").as_uri()
    command = ["node", str(HERE / "bench.mjs"), module, str(model), str(simd).lower(), str(K), str(LENGTH)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(folder: Path, model: Path, turns: int, ort: bool) -> dict[str, float]:
    packed = PackedFile.open(model)
    dim, n_items = packed.dim, packed.n_items
    kernels = [kernel for kernel in CoreRecommender.open(model).kernels if kernel != "scalar"]
    results: dict[str, list[float]] = {}

    def note(name: str, microseconds: float) -> None:
        results.setdefault(name, []).append(microseconds)

    found = find_browser()
    if found is None:
        raise SystemExit("needs chromium and chromedriver")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        for _ in range(turns):
            for kernel in kernels:
                note(f"native core from Python, {kernel}", native(model, kernel))
            for simd in (True, False):
                note(f"Node, {'SIMD' if simd else 'no SIMD'}", node(folder, model, simd))
            browser = Browser(*found)
            try:
                browser.get(f"{url}blank.html")
                for simd in (True, False):
                    script = (
                        f"return import('{url}bench.mjs').then((b) => b.sparse('{url}sparsedevice.js', "
                        f"'{url}model.sd', {{simd: {str(simd).lower()}, k: {K}, length: {LENGTH}}}))"
                    )
                    note(f"Chromium, {'SIMD' if simd else 'no SIMD'}", browser.run(script))
                if ort:
                    graphs = {"dense": "dense.onnx", "denseRows": "dense-rows.onnx"}
                    for function, graph in graphs.items():
                        script = (
                            f"return import('{url}bench.mjs').then((b) => b.{function}("
                            f"'{url}ort/ort.wasm.min.mjs', '{url}{graph}', "
                            f"{{nItems: {n_items}, dim: {dim}, length: {LENGTH}}}))"
                        )
                        note(f"Chromium, onnxruntime-web, {graph}", browser.run(script))
            finally:
                browser.close()
        server.shutdown()
    return {name: round(statistics.median(values), 1) for name, values in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="a packed file; else a random table, 90 %% sparse")
    parser.add_argument("--items", type=int, default=40_981)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--active", type=float, default=6.4, help="mean entries of a row")
    parser.add_argument("--values", default="int8")
    parser.add_argument("--ort", type=Path, help="folder of the npm package onnxruntime-web")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_assets(folder)
        shutil.copy(HERE / "bench.mjs", folder)
        (folder / "blank.html").write_text('<!doctype html><link rel="icon" href="data:,">', encoding="utf-8")
        model = folder / "model.sd"
        if arguments.model:
            shutil.copy(arguments.model, model)
        else:
            synthetic(model, arguments.items, arguments.dim, arguments.active, arguments.values)
        packed = PackedFile.open(model)
        if arguments.ort:
            shutil.copytree(arguments.ort / "dist", folder / "ort")
            write_dense(folder, packed.n_items, packed.dim)
        medians = measure(folder, model, arguments.turns, bool(arguments.ort))
        size = {"items": packed.n_items, "dim": packed.dim, "nnz": packed.nnz, "values": packed.values}
        dense_bytes = 4 * packed.n_items * packed.dim
        print(
            json.dumps({**size, "bytes": len(packed.data), "dense_bytes": dense_bytes, "median_us": medians})
        )


if __name__ == "__main__":
    main()
