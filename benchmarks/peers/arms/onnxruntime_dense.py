"""onnxruntime: MatMul [1, dim] x [dim, items] and TopK, float32 or dynamically quantised to int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.31.1"]
VARIANTS = ["fp32", "int8"]


def build(variant: str, data: Path, k: int) -> None:
    """Write the model, quantised where wanted."""
    from onnx import TensorProto, helper, numpy_helper, save

    items = np.load(data / "items.npy")
    dim = items.shape[1]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["query", "table"], ["scores"]),
            helper.make_node("TopK", ["scores", "k"], ["values", "rows"], axis=1),
        ],
        "dense",
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, [1, dim])],
        [helper.make_tensor_value_info("rows", TensorProto.INT64, [1, k])],
        [
            numpy_helper.from_array(np.ascontiguousarray(items.T), "table"),
            numpy_helper.from_array(np.array([k], np.int64), "k"),
        ],
    )
    path = data / f"dense-{variant}.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    if variant == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(path, path, weight_type=QuantType.QInt8)


def load(variant: str, data: Path, _k: int) -> Loaded:
    """Open the model with one thread."""
    import onnxruntime as ort

    queries, path = np.load(data / "queries.npy"), data / f"dense-{variant}.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rows = [queries[i : i + 1] for i in range(len(queries))]
    return Loaded(lambda query: session.run(["rows"], {"query": rows[query]})[0], path.stat().st_size)


if __name__ == "__main__":
    serve(load, "onnxruntime", build=build)
