"""What is inside the graph: standard operators, packed tables, nothing a runtime could expand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.sparse as sp

from sparsedevice.errors import BundleError
from sparsedevice.exporters.onnx import OnnxRecommender, write_onnx
from sparsedevice.exporters.onnx.graph import DOMAIN
from sparsedevice.packing import FoldIn, PackedFile, pack
from sparsedevice.packing.format import Kind


def write_table(path, n, dim, *, values="int8", k=6, fold_in=None, seed=0):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, dim, n * k).astype(np.int32)
    data = rng.normal(size=n * k).astype(np.float32)
    table = sp.csr_array((data, columns, k * np.arange(n + 1)), shape=(n, dim))
    table.sum_duplicates()
    pack(path, table, item_ids=[str(i) for i in range(n)], values=values, fold_in=fold_in)
    return PackedFile.open(path, verify=False)


@pytest.mark.parametrize("values", ["int8", "int4", "f16", "f32"])
def test_one_function_of_standard_operators_over_the_packed_tables(tmp_path, values):
    packed = write_table(tmp_path / "model.sd", 3000, 64, values=values)
    assert write_onnx(packed, tmp_path) == ["model.onnx"]
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [node.name for node in inferred.graph.output] == ["rows", "scores"]
    assert [(o.domain, o.version >= 18) for o in model.opset_import] == [("", True), (DOMAIN, False)]
    (node,), (function,) = model.graph.node, model.functions
    assert (node.domain, node.op_type) == (function.domain, function.name) == (DOMAIN, "SparseTopK")
    inside = list(nodes_of(function))
    assert {node.domain for node in inside} == {""}
    # The tables keep their packed types, and nothing inside the function has the size of one.
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored["item_columns"] == onnx.TensorProto.UINT8
    wanted = {"f16": "FLOAT16", "f32": "FLOAT", "int8": "INT8", "int4": "UINT8"}[values]
    assert stored["item_values"] == onnx.TensorProto.DataType.Value(wanted)
    assert max(len(tensor.raw_data) for tensor in constants_of(inside)) < 8 * packed.n_items


def test_no_byte_of_the_packed_file_is_there_twice(tmp_path):
    sizes = {}
    for values in ("int8", "int4"):
        packed = write_table(tmp_path / "model.sd", 20_000, 64, values=values)
        write_onnx(packed, tmp_path)
        assert (tmp_path / "model.onnx").stat().st_size < 25_000
        model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
        outside = {t.name: t for t in model.graph.initializer if t.external_data}
        assert {t.name for t in model.graph.initializer} - set(outside) == {"head"}
        for name, tensor in outside.items():
            entries = {entry.key: entry.value for entry in tensor.external_data}
            assert entries["location"] == "model.sd"
            at, length = int(entries["offset"]), int(entries["length"])
            if name == "model":
                assert (at, length) == (0, len(packed.data))
            else:
                section = packed.sections[Kind[name.upper()]]
                assert (at, length) == (section.offset, section.length)
                sizes[values, name] = length
    # Two four-bit values in a byte.
    assert 2 * sizes["int4", "item_values"] == sizes["int4", "item_columns"]
    assert sizes["int8", "item_values"] == sizes["int8", "item_columns"]


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def constants_of(nodes):
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.g.initializer


@pytest.mark.parametrize("values", ["int8", "int4"])
def test_onnxruntime_does_not_expand_the_tables(tmp_path, values):
    """The optimised graph is no larger than ours: nothing was folded, nothing prepacked."""
    packed = write_table(tmp_path / "model.sd", 20_000, 64, values=values)
    write_onnx(packed, tmp_path)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    kept = {t.name: len(t.raw_data) for t in optimised.graph.initializer}
    # The file as a whole is the operator's input, and gone where the function runs.
    assert "model" not in kept
    assert sum(kept.values()) <= len(packed.data)


@pytest.mark.parametrize("fold_in", [None, "matrix"])
def test_rows_outside_the_table_are_ignored(tmp_path, fold_in):
    rule = FoldIn(None, np.eye(16, dtype=np.float32)[::-1].copy()) if fold_in else None
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4, fold_in=rule)
    write_onnx(packed, tmp_path)
    session = OnnxRecommender(packed, tmp_path / "model.onnx").session
    wild = np.array([-1, 700, 701, -(2**62), 2**62, 699, 0])

    def run(**changes):
        empty = np.empty(0, np.int64)
        lists = dict.fromkeys(("history", "excluded", "candidates"), empty)
        one = dict.fromkeys(("user", "like"), np.array([-1]))
        return session.run(["rows", "scores"], {**lists, **one, "k": np.array([9]), **changes})

    for name in ("history", "excluded", "candidates"):
        tame = np.array([699, 0])
        a, b = run(**{name: wild}), run(**{name: tame})
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    nothing = run(candidates=np.array([-1]))
    assert nothing[0].shape == nothing[1].shape == (0,)
    for k, wanted in ((0, 0), (-5, 0), (700, 700), (2**40, 700)):
        assert len(run(k=np.array([k]))[0]) == wanted
    np.testing.assert_array_equal(run(like=np.array([700]))[0], run()[0])


def test_equal_scores_across_blocks_stand_in_row_order(tmp_path):
    n = 9000
    table = sp.csr_array((np.ones(n, np.float32), np.zeros(n, np.int32), np.arange(n + 1)), shape=(n, 3))
    pack(tmp_path / "model.sd", table, item_ids=[str(i) for i in range(n)])
    packed = PackedFile.open(tmp_path / "model.sd")
    write_onnx(packed, tmp_path)
    recommender = OnnxRecommender(packed, tmp_path / "model.onnx")
    best = recommender.recommend(history=["0"], k=n, exclude="none")
    assert best.rows.tolist() == list(range(n))
    late = recommender.recommend(history=["0"], k=50, candidates=[str(i) for i in range(8990, 9000)])
    assert late.rows.tolist() == list(range(8990, 9000))


def test_broken_models_are_refused_in_one_sentence(tmp_path):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    write_onnx(packed, tmp_path)
    whole = (tmp_path / "model.onnx").read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"not a model"):
        (tmp_path / "model.onnx").write_bytes(broken)
        with pytest.raises(BundleError, match="onnxruntime does not accept") as caught:
            OnnxRecommender(packed, tmp_path / "model.onnx")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("edit", ["outside", "elsewhere", "shape", "operator", "function"])
def test_models_edited_by_hand_are_refused_in_one_sentence(tmp_path, edit):
    """Where no manifest is looked at, too: nothing is read outside the packed file."""
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    write_onnx(packed, tmp_path)
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    columns = next(t for t in model.graph.initializer if t.name == "item_columns")
    places = {entry.key: entry for entry in columns.external_data}
    if edit == "outside":
        places["offset"].value = str(len(packed.data) - 8)
    elif edit == "elsewhere":
        (tmp_path.parent / "secret").write_bytes(packed.data.tobytes())
        places["location"].value = "../secret"
    elif edit == "shape":
        columns.dims[0] += 1
    elif edit == "operator":
        model.graph.node[0].op_type = "Relu6"
    else:
        del model.functions[0].node[5:]
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError) as caught:
        OnnxRecommender(packed, tmp_path / "model.onnx").recommend(history=["5"], k=3)
    assert "\n" not in str(caught.value)
    assert "export the run again" in str(caught.value)
