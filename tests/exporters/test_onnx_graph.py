"""What is inside the graph: standard operators, packed tables, nothing a runtime could expand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.sparse as sp

from sparsedevice.errors import BundleError
from sparsedevice.exporters.blocks import MAX_GROUPS, cut
from sparsedevice.exporters.onnx import OnnxRecommender, write_onnx
from sparsedevice.exporters.onnx.model import DATA_NAME, INLINE_BYTES
from sparsedevice.packing import FoldIn, PackedFile, pack
from sparsedevice.packing.quantize import Rows
from sparsedevice.runtime.reference import NumpyRecommender


def rows_of(lengths: np.ndarray, dim: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    columns = np.concatenate([np.sort(rng.choice(dim, n, replace=False)) for n in lengths] or [[]])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    values = rng.integers(1, 128, len(columns)).astype(np.int8)
    return Rows(indptr, columns.astype(np.int32), values, np.ones(len(lengths), np.float32), dim)


@pytest.mark.parametrize(
    "lengths",
    [
        np.array([3]),
        np.zeros(700, int),
        np.sort(np.random.default_rng(0).integers(0, 40, 5003))[::-1],
        np.random.default_rng(1).integers(0, 40, 5003),
        np.repeat([64, 6, 1], [10, 20_000, 3]),
    ],
)
def test_blocks_hold_every_entry_once(lengths):
    rows = rows_of(lengths, 64)
    groups = cut(rows)
    assert groups[0].start == 0
    assert len(groups) <= MAX_GROUPS
    assert len({group.block_rows for group in groups}) == 1
    padded = sum(group.n_rows for group in groups)
    assert 0 <= padded - len(lengths) < groups[0].block_rows
    for before, after in pairwise(groups):
        assert after.start == before.start + before.n_rows
    entries = []
    for group in groups:
        block, lane, place = np.nonzero(group.values)
        row = group.start + block * group.block_rows + lane
        entries.append(np.stack((row, group.columns[block, lane, place], group.values[block, lane, place])))
        assert not group.columns[group.values == 0].any()
    owner = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(np.concatenate(entries, 1), np.stack((owner, rows.columns, rows.values)))


def test_sorted_rows_need_little_padding():
    lengths = np.sort(np.random.default_rng(0).poisson(6.4, 50_000))[::-1]
    groups = cut(rows_of(lengths, 64))
    assert sum(group.values.size for group in groups) < 1.15 * lengths.sum()


def write_table(path, n, dim, *, values="int8", k=6, fold_in=None):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, dim, n * k).astype(np.int32)
    data = rng.normal(size=n * k).astype(np.float32)
    table = sp.csr_array((data, columns, k * np.arange(n + 1)), shape=(n, dim))
    table.sum_duplicates()
    pack(path, table, item_ids=[str(i) for i in range(n)], values=values, fold_in=fold_in)
    return PackedFile.open(path, verify=False)


@pytest.mark.parametrize("values", ["int8", "int4", "f16", "f32"])
def test_only_standard_operators_and_packed_tables(tmp_path, values):
    packed = write_table(tmp_path / "model.sd", 3000, 64, values=values)
    names = write_onnx(packed, tmp_path)
    model = onnx.load(tmp_path / names[0])
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [node.name for node in inferred.graph.output] == ["rows", "scores"]
    assert [(o.domain, o.version >= 18) for o in model.opset_import] == [("", True)]
    assert {node.domain for node in nodes_of(model.graph)} == {""}
    # Nothing in the graph has the size of the dense table, and the tables keep their packed types.
    assert max(int(np.prod(t.dims)) for t in model.graph.initializer) < packed.n_items * packed.dim / 4
    stored = {t.name.split("_")[0]: t.data_type for t in model.graph.initializer}
    assert stored["columns"] == onnx.TensorProto.UINT8
    wanted = {"f16": onnx.TensorProto.FLOAT16, "f32": onnx.TensorProto.FLOAT}
    assert stored["values"] == wanted.get(values, onnx.TensorProto.INT8)


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)


def test_onnxruntime_does_not_expand_the_tables(tmp_path):
    """The optimised graph is no larger than ours: nothing was folded, nothing prepacked."""
    packed = write_table(tmp_path / "model.sd", 20_000, 64)
    write_onnx(packed, tmp_path)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "model.onnx")
    optimised = onnx.load(tmp_path / "optimised.onnx")

    def tables(graph):
        return sum(len(t.raw_data) for t in graph.initializer)

    assert tables(optimised.graph) <= tables(model.graph) + 4096


def test_large_tables_lie_beside_the_graph(tmp_path):
    packed = write_table(tmp_path / "model.sd", 100_000, 64)
    assert packed.nnz * 2 > INLINE_BYTES / 2
    assert write_onnx(packed, tmp_path) == ["model.onnx", DATA_NAME]
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert outside
    for tensor in outside:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        assert entries["location"] == DATA_NAME
        assert int(entries["offset"]) % 4096 == 0
    assert (tmp_path / "model.onnx").stat().st_size < 100_000
    got = OnnxRecommender(packed, tmp_path / "model.onnx").recommend(history=["5", "77"], k=20)
    wanted = NumpyRecommender(packed).recommend(history=["5", "77"], k=20)
    assert got.items == wanted.items
    assert got.scores.tobytes() == wanted.scores.tobytes()


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
        return session.run(
            ["rows", "scores"], {**lists, "like": np.array([-1]), "k": np.array([9]), **changes}
        )

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
