"""onnxruntime and ExecuTorch for arm64, under QEMU, against the conformance suite of all backends."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from sparsedevice.exporters.executorch import native as executorch_native
from sparsedevice.exporters.executorch import write_program
from sparsedevice.exporters.onnx import native as onnx_native
from sparsedevice.exporters.onnx import write_onnx
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.reference import NumpyRecommender
from tests.emulation import arm64, backends
from tests.runtime.conformance import CHECKS, Case, Subject, write_case

# Emulation is slow: these cases stand for the others.
CASES = (
    Case(),
    Case(layout="csr", values="f16", dim=300),
    Case(similarity="dot", values="int4", fold_in="weights"),
)


@pytest.fixture(scope="module")
def system():
    try:
        arm64.emulator()
        arm64.compiler("CC")
        arm64.compiler("CXX")
        arm64.userland()
    except arm64.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def onnx_server(system):  # noqa: ARG001
    python = arm64.python_of(arm64.ROOT)
    server = backends.Server([python, backends.HERE / "serve_onnx.py"], arm64.environment())
    yield server
    server.close()


@pytest.fixture(scope="module")
def native_folder(system, tmp_path_factory):  # noqa: ARG001
    """The files of an ``executorch-native`` bundle."""
    folder = tmp_path_factory.mktemp("native")
    executorch_native.write_native(PackedFile.open(write_case(folder / "model.sd", Case())), folder)
    return folder


@pytest.fixture(scope="module")
def executorch_server(native_folder):
    program = native_folder / "serve"
    backends.cross_compile_executorch(native_folder, program, backends.HERE / "serve_executorch.cpp")
    server = backends.Server([program])
    yield server
    server.close()


@pytest.fixture(scope="module")
def open_with(onnx_server, executorch_server, tmp_path_factory):
    """Opens a packed file with a backend; artefacts of equal files are written once."""
    folder = tmp_path_factory.mktemp("artefacts")

    def open_(name, path):
        packed = PackedFile.open(path)
        kind = "onnx" if name == "onnx-native" else name  # one graph, run two ways
        place = folder / f"{kind}-{hash(path.read_bytes()):x}"
        fresh = not place.exists()
        place.mkdir(exist_ok=True)
        if name.startswith("onnx"):
            if fresh:
                write_onnx(packed, place)
                onnx_native.write_operator(place)
            library = folder / "libsd_onnx.so" if name == "onnx-native" else None
            if library is not None and not library.exists():
                backends.cross_compile_onnx_operator(place, library)
            return backends.OnnxArm64(packed, place / "model.onnx", onnx_server, library)
        if name == "executorch":
            if fresh:
                write_program(packed, place)
            return backends.ExecutorchArm64(packed, place / "model.pte", executorch_server)
        if fresh:
            executorch_native.write_native(packed, place)
        return backends.NativeExecutorchArm64(packed, place, executorch_server)

    return open_


@pytest.mark.parametrize("name", ["onnx", "onnx-native", "executorch", "executorch-native"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, name, open_with, tmp_path):
    # A portable program takes seconds to export.
    cases = CASES[:1] if name == "executorch" else CASES
    check(Subject(lambda path: open_with(name, path), tmp_path, supports=lambda case: case in cases))


def test_the_runner_of_the_bundle(native_folder):
    runner = native_folder / "sd-executorch-run"
    backends.cross_compile_executorch(native_folder, runner, native_folder / executorch_native.RUNNER_NAME)
    history = (0, 7, 120)
    command = arm64.command([runner, native_folder / "model.pte", "5", *map(str, history)])
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    reference = NumpyRecommender.open(native_folder / "model.sd")
    wanted = reference.recommend(history=[reference.packed.vocabulary.ids[row] for row in history], k=5)
    assert [int(line.split("\t")[0]) for line in lines] == wanted.rows.tolist()
    assert [np.float32(line.split("\t")[1]) for line in lines] == wanted.scores.tolist()
