"""The onnxruntime operator over the C core: conformance, size, and what it ignores."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest

from sparsedevice.errors import BundleError
from sparsedevice.exporters.onnx import native
from sparsedevice.packing import PackedFile
from tests.exporters.test_onnx_graph import write_table
from tests.runtime.conformance import CHECKS, Subject


def open_(path):
    packed = PackedFile.open(path)
    folder = path.with_suffix(".native")
    folder.mkdir(exist_ok=True)
    (folder / "model.sd").write_bytes(path.read_bytes())
    native.write_native(packed, folder)
    return native.open_native(packed, folder)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, tmp_path):
    check(Subject(open_, tmp_path))


def test_the_graph_holds_no_table(tmp_path):
    packed = write_table(tmp_path / "model.sd", 5000, 64)
    native.write_native(packed, tmp_path)
    assert (tmp_path / "model.onnx").stat().st_size < 2048
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    (tensor,) = model.graph.initializer
    assert {e.key: e.value for e in tensor.external_data}["location"] == "model.sd"
    onnx.shape_inference.infer_shapes(model, check_type=True)


def test_rows_outside_the_table_are_ignored(tmp_path):
    packed = write_table(tmp_path / "model.sd", 5000, 64)
    native.write_native(packed, tmp_path)
    session = native.open_native(packed, tmp_path).session
    empty, one = np.empty(0, np.int64), np.array([-1])

    def run(**changes):
        lists = dict.fromkeys(("history", "excluded", "candidates"), empty)
        return session.run(
            ["rows", "scores"], {**lists, "user": one, "like": one, "k": np.array([9]), **changes}
        )

    wild, tame = np.array([-1, 5000, -(2**62), 2**62, 4999, 0]), np.array([4999, 0])
    for name in ("history", "excluded", "candidates"):
        a, b = run(**{name: wild}), run(**{name: tame})
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert len(run(candidates=one)[0]) == 0
    for k, wanted in ((0, 0), (-5, 0), (5000, 5000), (2**40, 5000)):
        assert len(run(k=np.array([k]))[0]) == wanted
    np.testing.assert_array_equal(run(like=np.array([5000]), user=np.array([7]))[0], run()[0])


def test_a_damaged_file_and_wrong_inputs_are_refused(tmp_path):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    native.write_native(packed, tmp_path)
    recommender = native.open_native(packed, tmp_path)
    damaged = bytearray(packed.data.tobytes())
    damaged[20] ^= 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.sd").write_bytes(damaged)
    (tmp_path / "other" / "model.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(str(native.operator_library(tmp_path)))
    broken = onnxruntime.InferenceSession(
        tmp_path / "other" / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    empty, one = np.empty(0, np.int64), np.array([-1])
    lists = dict.fromkeys(("history", "excluded", "candidates"), empty)
    feed = {**lists, "user": one, "like": one, "k": np.array([9])}
    with pytest.raises(Exception, match="the packed file beside the graph is damaged"):
        broken.run(None, feed)
    assert len(recommender.session.run(None, feed)[0]) == 9
    with pytest.raises(Exception, match=r"one element each|Got: 2 Expected: 1"):
        recommender.session.run(None, {**feed, "k": np.array([9, 9])})
    # A packed file that is shorter than the graph says never reaches the operator.
    (tmp_path / "other" / "model.sd").write_bytes(damaged[:-64])
    with pytest.raises(BundleError, match="onnxruntime does not accept"):
        native.OnnxRecommender(
            packed, tmp_path / "other" / "model.onnx", library=native.operator_library(tmp_path)
        )


def test_it_compiles_without_warnings_here_and_for_arm64(tmp_path):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    native.write_native(packed, tmp_path)
    for compiler in ("gcc", "clang", "aarch64-linux-gnu-gcc"):
        if shutil.which(compiler):
            subprocess.run(
                [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "sd_onnx.c", "-o", "x.o"],
                cwd=tmp_path,
                check=True,
            )


def test_without_its_operator_the_graph_is_refused(tmp_path):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    native.write_native(packed, tmp_path)
    with pytest.raises(BundleError, match="onnxruntime does not accept"):
        native.OnnxRecommender(packed, tmp_path / "model.onnx")
