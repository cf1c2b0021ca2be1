"""Artefacts in the arm64 builds of their runtimes under QEMU, as recommenders for the conformance suite."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import torch

from sparsedevice.exporters.c import SOURCE_NAME
from sparsedevice.exporters.executorch import ExecutorchRecommender
from sparsedevice.exporters.executorch import native as executorch_native
from sparsedevice.exporters.executorch.native import NativeExecutorchRecommender
from sparsedevice.exporters.onnx import native as onnx_native
from sparsedevice.exporters.row_recommender import RowRecommender
from sparsedevice.packing import PackedFile
from tests.emulation import arm64

HERE = Path(__file__).parent
_TORCH = {"b": torch.bool, "l": torch.int64, "f": torch.float32, "d": torch.float64}
_NAMES = {dtype: name for name, dtype in _TORCH.items()}


def cross_compile_onnx_operator(sources: Path, library: Path) -> None:
    """The operator of an ``onnx`` bundle, for arm64."""
    parts = [sources / onnx_native.OPERATOR_NAME, sources / SOURCE_NAME, "-o", library]
    _compile([arm64.compiler("CC"), *onnx_native._FLAGS, "-O1", f"-I{sources}", *parts])


def cross_compile_executorch(sources: Path, program: Path, main: Path) -> None:
    """A program around the operator of an ``executorch-native`` bundle, for arm64, without torch."""
    runtime = arm64.ROOT / "opt" / "packages" / "executorch"
    core = sources / "core-arm64.o"
    if not core.exists():
        flags = ["-std=c11", "-O1", "-ffp-contract=off", "-c"]
        _compile([arm64.compiler("CC"), *flags, sources / SOURCE_NAME, "-o", core])
    include = runtime / "include"
    places = [f"-I{sources}", f"-I{include}", f"-I{include}/executorch/runtime/core/portable_type/c10"]
    parts = [main, sources / executorch_native.OPERATOR_NAME, core, "-o", program]
    link = [
        f"-L{runtime / 'lib'}",
        "-Wl,--no-as-needed",
        "-lexecutorch",
        "-lexecutorch_kernels_optimized",
        "-lexecutorch_threadpool",
        f"-Wl,-rpath,{runtime / 'lib'}",
    ]
    _compile(
        [
            arm64.compiler("CXX"),
            "-std=c++17",
            "-O1",
            "-DC10_USING_CUSTOM_GENERATED_MACROS",
            *places,
            *parts,
            *link,
        ]
    )


def _compile(command: list[str | Path]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Server:
    """An arm64 program that answers until it is closed."""

    def __init__(self, program: list[str | Path], env: dict[str, str] | None = None) -> None:
        command = arm64.command(program)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.endswith("\n"), f"the emulated program ended with {self.process.poll()}"
        return line

    def read(self, n: int) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read(n)


class OnnxArm64(RowRecommender):
    """A graph in the arm64 onnxruntime."""

    def __init__(self, packed: PackedFile, model: Path, server: Server, library: Path | None = None) -> None:
        super().__init__(packed)
        self.server = server
        self.files = {"model": str(model), "library": str(library) if library else None}

    def top_rows(self, *, history, user, like, excluded, candidates, k):
        """See the base class; as ``OnnxRecommender``."""
        if candidates is not None and not len(candidates):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        feed = {
            "history": history.tolist(),
            "user": [user],
            "like": [like],
            "excluded": excluded.tolist(),
            "candidates": [] if candidates is None else candidates.tolist(),
            "k": [k],
        }
        self.server.send(json.dumps({**self.files, "feed": feed}).encode() + b"\n")
        answer = json.loads(self.server.line())
        return np.array(answer["rows"], np.int64), np.array(answer["bits"], np.uint32).view(np.float32)


class Method:
    """A method of a program in the arm64 ExecuTorch."""

    def __init__(self, server: Server, program: Path, name: str) -> None:
        self.server, self.program, self.name = server, program, name

    def execute(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """As the runtime's own method."""
        parts = [f"run {self.program} {self.name} {len(inputs)}\n".encode()]
        for tensor in inputs:
            parts.append(f"{_NAMES[tensor.dtype]} {tensor.numel()}\n".encode())
            parts.append(tensor.numpy().tobytes())
        self.server.send(b"".join(parts))
        said, count = self.server.line().split(maxsplit=1)
        assert said == "ok", (self.name, count)
        outputs = []
        for _ in range(int(count)):
            kind, n = self.server.line().split()
            dtype = _TORCH[kind]
            data = bytearray(self.server.read(int(n) * dtype.itemsize))
            outputs.append(torch.frombuffer(data, dtype=dtype))
        return outputs


class ExecutorchArm64(ExecutorchRecommender):
    """A portable program in the arm64 ExecuTorch; the methods and sizes are read from the program here."""

    def __init__(self, packed: PackedFile, model: Path, server: Server) -> None:
        super().__init__(packed, model)
        self._methods = {name: Method(server, model, name) for name in self._methods}


class NativeExecutorchArm64(NativeExecutorchRecommender):
    """A program with the operator in the arm64 ExecuTorch."""

    def __init__(self, packed: PackedFile, folder: Path, server: Server) -> None:
        RowRecommender.__init__(self, packed)
        self._method = Method(server, folder / executorch_native.MODEL_NAME, "forward")
