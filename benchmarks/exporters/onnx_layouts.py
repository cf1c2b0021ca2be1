"""Layouts of a sparse table in graphs of standard ONNX operators: bytes a row, and time to score all rows.

    python -m benchmarks.exporters.onnx_layouts

200,000 random rows of 64 columns with equally many entries, the one best row. ``slices`` and ``bitmap`` are
the graphs that the exporter writes, with fold-in and exclusion; ``fixed k`` is the scan alone over a column
and an int8 value for each entry. Bytes are those of columns and values. One thread; arms take turns; medians
of processor time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import scipy.sparse as sp
from onnx import TensorProto, helper, numpy_helper

from sparsedevice.exporters.onnx import write_bitmap, write_onnx
from sparsedevice.packing import PackedFile, pack
from sparsedevice.packing.format import Kind, Values

N_ITEMS, DIM, BLOCK = 200_000, 64, 4_000
ACTIVE = (6, 13, 26)
REPETITIONS = 10


def random_table(active: int) -> sp.csr_array:
    """Rows of ``active`` whole numbers each."""
    rng = np.random.default_rng(0)
    columns = np.sort(np.argsort(rng.random((N_ITEMS, DIM)), axis=1)[:, :active], axis=1)
    values = rng.integers(1, 128, columns.shape) * rng.choice((-1, 1), columns.shape)
    indptr = np.arange(N_ITEMS + 1) * active
    return sp.csr_array(
        (values.ravel().astype(np.float32), columns.ravel().astype(np.int32), indptr), shape=(N_ITEMS, DIM)
    )


def scan(tables: dict[str, np.ndarray], nodes: list[Any], constants: dict[str, np.ndarray]) -> bytes:
    """A graph that scores each block by ``nodes``, from its part of the tables to float32 ``scores``."""
    value = helper.make_tensor_value_info
    parts = [
        value(f"{name}_here", helper.np_dtype_to_tensor_dtype(table.dtype), table.shape[1:])
        for name, table in tables.items()
    ]
    body = helper.make_graph(nodes, "block", parts, [value("scores", TensorProto.FLOAT, [BLOCK])])
    graph = helper.make_graph(
        [
            helper.make_node("Scan", list(tables), ["blocks"], num_scan_inputs=len(tables), body=body),
            helper.make_node("Reshape", ["blocks", "flat"], ["all"]),
            helper.make_node("TopK", ["all", "one"], ["best", "rows"]),
        ],
        "layout",
        [value("query", TensorProto.FLOAT, [DIM])],
        [value("best", TensorProto.FLOAT, [1]), value("rows", TensorProto.INT64, [1])],
        [
            numpy_helper.from_array(array, name)
            for name, array in {
                **tables,
                **constants,
                "flat": np.array([-1]),
                "one": np.array([1]),
            }.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def fixed_k(table: sp.csr_array, active: int) -> tuple[bytes, int]:
    """The graph, and the bytes of its table."""
    node = helper.make_node
    shape = (-1, BLOCK, active)
    tables = {
        "columns": table.indices.astype(np.uint8).reshape(shape),
        "values": table.data.astype(np.int8).reshape(shape),
    }
    nodes = [
        node("Cast", ["columns_here"], ["places"], to=TensorProto.INT32),
        node("Gather", ["query", "places"], ["looked_up"]),
        node("Cast", ["values_here"], ["wide"], to=TensorProto.FLOAT),
        node("Mul", ["looked_up", "wide"], ["products"]),
        node("ReduceSum", ["products", "last"], ["scores"], keepdims=0),
    ]
    return scan(tables, nodes, {"last": np.array([1])}), sum(part.nbytes for part in tables.values())


def open_session(model: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measure(active: int, values: Values, folder: Path) -> None:
    """Print a line for each layout of rows of ``active`` entries."""
    table = random_table(active)
    ids = [str(i) for i in range(N_ITEMS)]
    pack(folder / "model.sd", table, item_ids=ids, similarity="dot", values=values)
    packed = PackedFile.open(folder / "model.sd")
    write_onnx(packed, folder)
    (folder / "bitmap").mkdir()
    write_bitmap(packed, folder / "bitmap")
    sections = (packed.sections[kind].length for kind in (Kind.ITEM_COLUMNS, Kind.ITEM_VALUES))
    rest = packed.item_rows.scales.nbytes
    bitmap_bytes = (folder / "bitmap" / "model.onnx.data").stat().st_size
    row_bytes = {"slices": sum(sections), "bitmap": bitmap_bytes - rest}
    sessions = {
        "slices": open_session(str(folder / "model.onnx")),
        "bitmap": open_session(str(folder / "bitmap" / "model.onnx")),
    }
    query = {"query": np.random.default_rng(1).standard_normal(DIM).astype(np.float32)}
    empty, none = np.empty(0, np.int64), np.array([-1])
    shipped = {"history": np.arange(20), "user": none, "like": none, "k": np.array([1])}
    shipped |= {"excluded": empty, "candidates": empty}
    if values == "int8":
        model, row_bytes["fixed k"] = fixed_k(table, active)
        sessions["fixed k"] = open_session(model)
        expected = (table @ query["query"]).argmax()
        assert sessions["fixed k"].run(["rows"], query)[0][0] == expected, "fixed k answers wrongly"
    best = [sessions[layout].run(["rows"], shipped)[0][0] for layout in ("slices", "bitmap")]
    assert best[0] == best[1], "bitmap answers wrongly"
    times: dict[str, list[float]] = {layout: [] for layout in sessions}
    for _ in range(REPETITIONS):
        for layout, session in sessions.items():
            started = time.process_time()
            session.run(None, query if layout == "fixed k" else shipped)
            times[layout].append((time.process_time() - started) * 1e3)
    for layout in sessions:
        cells = f"{row_bytes[layout] / N_ITEMS:.1f} | {np.median(times[layout]):.1f}"
        print(f"| {active} | {values} | {layout} | {cells} |", flush=True)


def main() -> None:
    print("| entries of 64 | values | layout | bytes a row | CPU ms |\n| ---: | --- | --- | ---: | ---: |")
    codings: tuple[Values, ...] = ("int8", "int4")
    for active in ACTIVE:
        for values in codings:
            with tempfile.TemporaryDirectory() as name:
                measure(active, values, Path(name))


if __name__ == "__main__":
    main()
