"""Bitmaps as a layout of the ONNX graph: what is in it, how large it is, and where it is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import scipy.sparse as sp

from sparsedevice.errors import BundleError, ConfigError, TargetError
from sparsedevice.exporters import TARGETS, export, open_bundle
from sparsedevice.exporters.onnx import open_artefact, write_bitmap
from sparsedevice.packing import PackedFile, pack
from sparsedevice.runtime import load
from tests.exporters.readme_code import run_readme
from tests.exporters.tiny import tiny_run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bitmap") / "bundle"
    return export(tiny_run(), "onnx", folder, layout="bitmap", users=True, k=5)


def test_a_bundle_of_bitmaps(bundle):
    """It answers as the packed file does, without it, and its README's code runs."""
    assert bundle.manifest["sizes"]["layout"] == bundle.summary()["layout"] == "bitmap"
    assert set(bundle.file_bytes) == {"model.sd", "model.onnx", "vocabulary.json", "README.md"}
    got, wanted = open_bundle(bundle.path), load(bundle.path / "model.sd", "numpy")
    for asked in ({"history": ["item-3", "item-8"]}, {"history": []}, {"user": "user 3"}):
        a, b = got.recommend(k=7, **asked), wanted.recommend(k=7, **asked)
        assert a.items == b.items
        assert a.scores.tobytes() == b.scores.tobytes()
    printed = run_readme(bundle.path)
    assert len(printed) == 3
    assert all("item-" in text for text in printed)
    with pytest.raises(ConfigError, match="runs by standard operators only; use backend 'onnx'"):
        open_bundle(bundle.path, "onnx-native")


def test_a_truncated_graph_is_refused(bundle, tmp_path):
    whole = (bundle.path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="onnxruntime does not accept") as caught:
        open_artefact(PackedFile.open(bundle.path / "model.sd"), tmp_path)
    assert "\n" not in str(caught.value)


def write_table(path, lengths, values):
    rng = np.random.default_rng(0)
    columns = np.concatenate([np.sort(rng.choice(64, k, replace=False)) for k in lengths]).astype(np.int32)
    data = rng.choice((-1, 1), len(columns)) * (rng.random(len(columns)) + 1).astype(np.float32)
    table = sp.csr_array((data, columns, np.concatenate(([0], np.cumsum(lengths)))), shape=(len(lengths), 64))
    pack(path, table, item_ids=[str(i) for i in range(len(lengths))], values=values)
    return PackedFile.open(path, verify=False)


@pytest.mark.parametrize(("values", "row_bytes"), [("int8", 8 + 26 + 4), ("int4", 8 + 13 + 4)])
def test_bytes_and_operators(tmp_path, values, row_bytes):
    """Standard operators, checked; a bit a column, a value an entry and a scale a row, which stay so."""
    packed = write_table(tmp_path / "model.sd", np.full(50_000, 26), values)
    (tmp_path / "graph").mkdir()
    assert write_bitmap(packed, tmp_path / "graph") == ["model.onnx", "model.onnx.data", "vocabulary.json"]
    model = tmp_path / "graph" / "model.onnx"
    onnx.checker.check_model(model, full_check=True)
    loaded = onnx.load(model, load_external_data=False)
    onnx.shape_inference.infer_shapes(loaded, check_type=True, strict_mode=True, data_prop=True)
    assert [(opset.domain, opset.version) for opset in loaded.opset_import] == [("", 18)]
    size = (tmp_path / "graph" / "model.onnx.data").stat().st_size
    assert row_bytes * 50_000 <= size < row_bytes * 50_000 + 3 * 4096
    assert model.stat().st_size < 16 << 10
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "graph" / "optimised.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "graph" / "optimised.onnx")
    assert sum(len(t.raw_data) for t in optimised.graph.initializer) <= size
    a = open_artefact(packed, tmp_path / "graph").recommend(history=["5", "49999"], k=40)
    b = load(tmp_path / "model.sd").recommend(history=["5", "49999"], k=40)
    assert a.items == b.items
    assert a.scores.tobytes() == b.scores.tobytes()


def test_where_bitmaps_are_refused(tmp_path):
    for target in TARGETS:
        if not target.bitmap_writer:
            with pytest.raises(
                ConfigError, match="does not carry layout 'bitmap'; use one of auto, csr, sliced"
            ):
                export(tiny_run(), target.name, tmp_path / "b", layout="bitmap")
    assert list(tmp_path.iterdir()) == []
    uneven = write_table(tmp_path / "uneven.sd", np.append(np.full(20_000, 2), 64), "int8")
    with pytest.raises(TargetError, match=r"64 of 64 entries where rows have 2.0.* use --layout auto"):
        write_bitmap(uneven, tmp_path)
    with pytest.raises(TargetError, match="no bitmaps for model 'neumf'"):
        write_bitmap(SimpleNamespace(network=object()), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["uneven.sd"]
