"""onnxruntime and ExecuTorch for arm64, under QEMU, against the conformance suite of all backends."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from sparsedevice.bench import bench
from sparsedevice.bench.emulated import executorch as emulated_executorch
from sparsedevice.bench.emulated import onnx as emulated_onnx
from sparsedevice.bench.emulated.cell import choose_backend
from sparsedevice.bench.emulated.userland import userland
from sparsedevice.bench.machines.qemu import find_emulator
from sparsedevice.bench.native.build import find_compiler
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.errors import ConfigError, TargetError
from sparsedevice.exporters import export
from sparsedevice.exporters.executorch import native as executorch_native
from sparsedevice.exporters.executorch import write_program
from sparsedevice.exporters.onnx import native as onnx_native
from sparsedevice.exporters.onnx import write_bitmap, write_onnx
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.reference import NumpyRecommender
from tests.exporters.tiny import tiny_run
from tests.exporters.written import written_once
from tests.runtime.conformance import CHECKS, Case, Subject, write_case

# Emulation is slow: these cases stand for the others.
CASES = (
    Case(),
    Case(layout="csr", values="f16", dim=300),
    Case(similarity="dot", values="int4", fold_in="weights"),
    Case(fold_in="steps", dim=40),
)
#: The core's sources take seconds to optimise.
QUICKLY = "-O1"


@pytest.fixture(scope="module")
def root():
    """The userland."""
    try:
        find_emulator()
        find_compiler("aarch64")
        return userland()
    except TargetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def onnx_server(root):
    server = emulated_onnx.start_onnx(root)
    yield server
    server.close()


@pytest.fixture(scope="module")
def native_folder(root, tmp_path_factory):  # noqa: ARG001
    """The files of an ``executorch-native`` bundle."""
    folder = tmp_path_factory.mktemp("native")
    executorch_native.write_native(PackedFile.open(write_case(folder / "model.sd", Case())), folder)
    return folder


@pytest.fixture(scope="module")
def executorch_server(root, native_folder):
    server = emulated_executorch.start_executorch(root, native_folder, optimise=QUICKLY)
    yield server
    server.close()


@pytest.fixture(scope="module")
def open_with(onnx_server, executorch_server, tmp_path_factory):
    """Opens a packed file with a backend; artefacts of equal files are written once."""
    folder = tmp_path_factory.mktemp("artefacts")

    def open_(name, path):
        packed = PackedFile.open(path)
        if name.startswith("onnx"):
            kind = "onnx" if name == "onnx-native" else name  # one graph, run two ways
            place = folder / f"{kind}-{hash(path.read_bytes()):x}"
            fresh = not place.exists()
            place.mkdir(exist_ok=True)
            if fresh and name == "onnx-bitmap":
                write_bitmap(packed, place)
            elif fresh:
                write_onnx(packed, place)
                onnx_native.write_operator(place)
            library = emulated_onnx.build_operator(place, optimise=QUICKLY) if name == "onnx-native" else None
            return emulated_onnx.OnnxArm64(packed, place / "model.onnx", onnx_server, library)
        if name == "executorch":
            place = written_once(tmp_path_factory, packed, write_program)
            return emulated_executorch.ExecutorchArm64(packed, place / "model.pte", executorch_server)
        place = written_once(tmp_path_factory, packed, executorch_native.write_native)
        return emulated_executorch.NativeExecutorchArm64(packed, place, executorch_server)

    return open_


@pytest.mark.parametrize("name", ["onnx", "onnx-bitmap", "onnx-native", "executorch", "executorch-native"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, name, open_with, tmp_path):
    # A portable program takes seconds to export; of bitmaps only the tables lie another way.
    cases = {"executorch": CASES[:1], "onnx-bitmap": CASES[2:3]}.get(name, CASES)
    check(Subject(lambda path: open_with(name, path), tmp_path, supports=lambda case: case in cases))


def test_a_program_with_its_tables_beside_it(executorch_server, tmp_path):
    """The C++ runtime maps the data file; without it the program is refused."""
    packed = PackedFile.open(write_case(tmp_path / "model.sd", Case(fold_in="steps", dim=40)))
    program, data = (tmp_path / name for name in write_program(packed, tmp_path, external=True))
    got = emulated_executorch.ExecutorchArm64(packed, program, executorch_server, data)
    wanted = NumpyRecommender(packed)
    for question in ({"history": ["i7", "i3", "i120"]}, {"user": "u3"}, {"history": []}):
        one, other = (each.recommend(k=20, **question) for each in (got, wanted))
        assert one.items == other.items
        assert one.scores.tobytes() == other.scores.tobytes()
    alone = emulated_executorch.Method(executorch_server, shutil.copy(program, tmp_path / "alone.pte"), "top")
    with pytest.raises(TargetError, match="could not run top: 0x"):
        alone.execute([torch.zeros(40, dtype=torch.float64), torch.ones(got.padded, dtype=torch.bool)])


def test_the_runner_of_the_bundle(root, native_folder):
    source = native_folder / executorch_native.RUNNER_NAME
    runner = emulated_executorch.build_program(root, source, native_folder, optimise=QUICKLY)
    history = (0, 7, 120)
    program = [find_emulator(), "-cpu", "max", "-L", str(root), str(runner)]
    command = [*program, str(native_folder / "model.pte"), "5", *map(str, history)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    reference = NumpyRecommender.open(native_folder / "model.sd")
    wanted = reference.recommend(history=[reference.packed.vocabulary.ids[row] for row in history], k=5)
    assert [int(line.split("\t")[0]) for line in lines] == wanted.rows.tolist()
    assert [np.float32(line.split("\t")[1]) for line in lines] == wanted.scores.tolist()


def test_a_runtime_is_counted_and_never_timed(root, tmp_path):  # noqa: ARG001
    bundle = export(tiny_run(), "executorch", tmp_path / "bundle", k=5)
    result = bench(bundle.path, target="qemu-arm64", k=3)
    assert result["backend"] == "executorch", "the bundle's own"
    assert result["answers"] == {"equal": True, "n": 16, "reference": "numpy and executorch here"}
    assert 1000 < result["counts"]["instructions"] < 2_000_000, "a query, without starting the program"
    assert result["counts"]["loads"] > 100
    assert result["counts"]["load_bytes"] > result["counts"]["loads"]
    assert result["caches"]["cortex-a55"]["l1_misses"] >= 0
    assert "row numbers" in result["counted"]
    for key in ("load_ms", "first_query_us", "p50_us", "p90_us", "p99_us"):
        assert result[key] is None
    json.dumps(result)
    assert choose_backend(bundle, BenchSettings(backend="core")) == "core"
    for settings, sentence in (
        ({"backend": "numpy"}, "not backend 'numpy'"),
        ({"kernel": "scalar"}, "leave out --kernel"),
        ({"backend": "onnx"}, "has nothing for backend 'onnx'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            choose_backend(bundle, BenchSettings(**settings))
