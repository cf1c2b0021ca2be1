"""The onnxruntime operator over the C core: that it is what runs, and what it ignores and refuses."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from sparsedevice.errors import BundleError, ConfigError
from sparsedevice.exporters.onnx import native, open_artefact, write_onnx
from tests.exporters.test_onnx_graph import write_table


def write(packed, folder):
    write_onnx(packed, folder)
    native.write_operator(folder)


def replace_file(path, content):
    """Another file of that name; who has the old one mapped keeps it."""
    path.unlink()
    path.write_bytes(content)


def test_a_registered_operator_runs_instead_of_the_function(tmp_path):
    """Proved by a packed file that only the core refuses: its section table is damaged."""
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    write(packed, tmp_path)
    damaged = bytearray(packed.data.tobytes())
    damaged[70] ^= 1
    replace_file(tmp_path / "model.sd", damaged)
    assert len(open_artefact(packed, tmp_path).recommend(history=["5"], k=3)) == 3
    with pytest.raises(BundleError, match="running SparseTopK node"):
        native.open_native(packed, tmp_path).recommend(history=["5"], k=3)


def test_rows_outside_the_table_are_ignored(tmp_path):
    packed = write_table(tmp_path / "model.sd", 5000, 64)
    write(packed, tmp_path)
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


@pytest.mark.parametrize("open_", [open_artefact, native.open_native])
def test_another_file_and_wrong_inputs_are_refused(tmp_path, open_):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    write(packed, tmp_path)
    session = open_(packed, tmp_path).session
    empty, one = np.empty(0, np.int64), np.array([-1])
    lists = dict.fromkeys(("history", "excluded", "candidates"), empty)
    feed = {**lists, "user": one, "like": one, "k": np.array([9])}
    assert len(session.run(None, feed)[0]) == 9
    with pytest.raises(Exception, match=r"one element each|Got: 2 Expected: 1"):
        session.run(None, {**feed, "k": np.array([9, 9])})
    del session
    other = write_table(tmp_path / "other.sd", 700, 16, k=4, seed=1)
    longer = other.data.tobytes() + bytes(max(0, len(packed.data) - len(other.data)))
    replace_file(tmp_path / "model.sd", longer)
    with pytest.raises(BundleError, match=r"model\.sd is damaged or not the file of this graph") as caught:
        open_(packed, tmp_path).recommend(history=["5"], k=3)
    assert "\n" not in str(caught.value)
    # A packed file that is shorter than the graph says never reaches an operator.
    replace_file(tmp_path / "model.sd", packed.data.tobytes()[:-64])
    with pytest.raises(BundleError, match="onnxruntime does not accept") as caught:
        open_(packed, tmp_path)
    assert "\n" not in str(caught.value)


def test_it_compiles_without_warnings_here_and_for_arm64(tmp_path):
    packed = write_table(tmp_path / "model.sd", 700, 16, k=4)
    write(packed, tmp_path)
    for compiler in ("gcc", "clang", "aarch64-linux-gnu-gcc"):
        if shutil.which(compiler):
            subprocess.run(
                [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "sd_onnx.c", "-o", "x.o"],
                cwd=tmp_path,
                check=True,
            )


def test_a_bundle_without_an_operator_says_so(tmp_path):
    packed = write_table(tmp_path / "model.sd", 70, 16, k=4)
    write_onnx(packed, tmp_path)
    with pytest.raises(ConfigError, match="runs by standard operators only; use backend 'onnx'"):
        native.open_native(packed, tmp_path)
