"""The ExecuTorch operator over the C core: conformance, the program's size, and the runner without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.errors import BundleError, SparseDeviceError
from sparsedevice.exporters import export
from sparsedevice.exporters.executorch import native
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load
from tests.exporters.test_onnx_graph import write_table
from tests.exporters.tiny import tiny_run
from tests.exporters.written import written_once
from tests.runtime.conformance import CHECKS, Subject

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the package has its C++ files on Linux")


@pytest.fixture(scope="module")
def open_(tmp_path_factory):
    """Opens a packed file through its program; each is exported once."""

    def open_once(path):
        packed = PackedFile.open(path)
        place = written_once(tmp_path_factory, packed, native.write_native)
        return native.NativeExecutorchRecommender(packed, place)

    return open_once


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, open_, tmp_path):
    check(Subject(open_, tmp_path))


def test_size_and_wild_rows(tmp_path):
    packed = write_table(tmp_path / "model.sd", 5000, 64)
    native.write_native(packed, tmp_path)
    assert (tmp_path / "model.pte").stat().st_size - len(packed.data) < 16 << 10
    recommender = native.NativeExecutorchRecommender(packed, tmp_path)
    one = torch.tensor([-1])
    none = torch.empty(0, dtype=torch.int64)

    def ask(history, excluded, candidates, user=one, like=one):
        outputs = recommender._method.execute([history, user, like, excluded, candidates])
        return [output.clone().numpy() for output in outputs]

    wild, tame = torch.tensor([-1, 5000, 2**40, -(2**62), 17]), torch.tensor([17])
    for a, b in (
        (ask(wild, none, none), ask(tame, none, none)),
        (ask(tame, wild, none), ask(tame, tame, none)),
        (ask(tame, none, wild), ask(tame, none, tame)),
        (ask(tame, none, none, torch.tensor([3]), torch.tensor([5000])), ask(tame, none, none)),
    ):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    rows, scores = ask(tame, none, tame)
    assert rows.tolist() == [17] + [-1] * 127
    assert (scores[1:] == -np.inf).all()


def test_runner_built_by_the_readme(tmp_path):
    bundle = export(tiny_run(), "executorch-native", tmp_path / "b", k=5)
    text = (bundle.path / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
    python = Path(sys.executable)
    done = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=bundle.path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{python.parent}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    wanted = load(bundle.path / "model.sd", "numpy")
    history = [wanted.packed.vocabulary.ids[row] for row in range(3)]
    best = wanted.recommend(history=history, k=5)
    got = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(row) for row, _ in got] == best.rows.tolist()
    assert [np.float32(score) for _, score in got] == best.scores.tolist()
    linked = subprocess.run(
        ["ldd", bundle.path / "sd-executorch-run"], capture_output=True, text=True, check=True
    ).stdout
    assert "libexecutorch.so" in linked
    assert "libtorch" not in linked


def test_refusals(tmp_path, monkeypatch):
    packed = write_table(tmp_path / "model.sd", 600, 16, k=4)
    native.write_native(packed, tmp_path)
    whole = (tmp_path / "model.pte").read_bytes()
    for broken in (b"", whole[:1000]):
        (tmp_path / "model.pte").write_bytes(broken)
        with pytest.raises(BundleError, match="ExecuTorch does not accept") as caught:
            native.NativeExecutorchRecommender(packed, tmp_path)
        assert "\n" not in str(caught.value)
    source = tmp_path / "sd_rows.h"
    source.write_text(source.read_text() + "\n/* another version */\n")
    with pytest.raises(BundleError, match="another version of the operator"):
        native.load_operator(tmp_path)
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SparseDeviceError, match="use --target executorch"):
        native.runtime_folder()
