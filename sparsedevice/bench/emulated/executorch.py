"""Programs in the arm64 build of ExecuTorch, under emulation, without Python and without torch there."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsedevice.bench.emulated.server import Server
from sparsedevice.bench.emulated.userland import packages_of
from sparsedevice.bench.native.build import compile_once, find_compiler
from sparsedevice.errors import TargetError
from sparsedevice.exporters.c import SOURCE_NAME
from sparsedevice.exporters.executorch import ExecutorchRecommender
from sparsedevice.exporters.executorch import native as executorch_native
from sparsedevice.exporters.executorch.native import NativeExecutorchRecommender
from sparsedevice.exporters.row_recommender import RowRecommender
from sparsedevice.packing import PackedFile

SERVE = Path(__file__).parent / "serve_executorch.cpp"
_TORCH = {"b": torch.bool, "l": torch.int64, "f": torch.float32, "d": torch.float64}
_NAMES = {dtype: name for name, dtype in _TORCH.items()}


def start_executorch(root: Path, sources: Path | None = None, *, optimise: str = "-O3") -> Server:
    """The arm64 ExecuTorch, waiting for questions.

    Args:
        root: the userland.
        sources: the folder of an ``executorch-native`` bundle, whose operator is built in.
        optimise: for the compiler.

    Raises:
        TargetError: if there is no cross compiler, or it fails.
    """
    return Server([build_program(root, SERVE, sources, optimise=optimise)], root)


def build_program(root: Path, main: Path, sources: Path | None = None, *, optimise: str = "-O3") -> Path:
    """An arm64 program over the libraries of ExecuTorch's wheel; arguments as :func:`start_executorch`."""
    runtime = packages_of(root) / "executorch"
    include = runtime / "include"
    places = [f"-I{include}", f"-I{include}/executorch/runtime/core/portable_type/c10"]
    parts, inputs = [str(main)], [main]
    if sources is not None:
        core, operator = _build_core(sources, optimise), executorch_native.OPERATOR_NAME
        places.append("-I.")
        parts = [main.name if main.parent == sources else str(main), operator, str(core)]
        inputs += [sources / operator, core]
    libraries = ("executorch", "executorch_kernels_optimized", "executorch_threadpool")
    link = [f"-L{runtime / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in libraries)]
    link.append(f"-Wl,-rpath,{runtime / 'lib'}")
    flags = ["-std=c++17", optimise, "-w", "-DC10_USING_CUSTOM_GENERATED_MACROS"]
    arguments = [*flags, *places, *parts, *link]
    return compile_once(f"{main.stem}-arm64", _cpp_compiler(), arguments, inputs, folder=sources)


def _build_core(sources: Path, optimise: str) -> Path:
    flags = ["-std=c11", optimise, "-ffp-contract=off", "-c", SOURCE_NAME]
    inputs = [sources / SOURCE_NAME, sources / "sparsedevice.h"]
    return compile_once("core-arm64.o", find_compiler("aarch64"), flags, inputs, folder=sources)


def _cpp_compiler() -> str:
    c = find_compiler("aarch64")
    if not c.endswith("gcc"):
        raise TargetError(f"{c} is no GCC, whose C++ compiler is needed (apt install g++-aarch64-linux-gnu)")
    return f"{c[:-3]}g++"


class Method:
    """A method of a program in the arm64 ExecuTorch."""

    def __init__(self, server: Server, program: Path, name: str, data: Path | None = None) -> None:
        self.server, self.program, self.name = server, program.resolve(), name
        self.data = data.resolve() if data else "-"

    def execute(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """As the runtime's own method.

        Raises:
            TargetError: if the runtime refuses, or the program ends.
        """
        parts = [f"run {self.program} {self.data} {self.name} {len(inputs)}\n".encode()]
        for tensor in inputs:
            parts.append(f"{_NAMES[tensor.dtype]} {tensor.numel()}\n".encode())
            parts.append(tensor.numpy().tobytes())
        self.server.send(b"".join(parts))
        said, count = self.server.line().split(maxsplit=1)
        if said != "ok":
            raise TargetError(f"qemu-arm64: ExecuTorch could not run {self.name}: {count.strip()}")
        outputs = []
        for _ in range(int(count)):
            kind, n = self.server.line().split()
            dtype = _TORCH[kind]
            data = bytearray(self.server.read(int(n) * dtype.itemsize))
            outputs.append(torch.frombuffer(data, dtype=dtype))
        return outputs


class ExecutorchArm64(ExecutorchRecommender):  # type: ignore[misc]
    """A portable program in the arm64 ExecuTorch; its methods and sizes are read from the program here."""

    def __init__(self, packed: PackedFile, model: Path, server: Server, data: Path | None = None) -> None:
        super().__init__(packed, model, data)
        self._methods: dict[str, Method] = {
            name: Method(server, model, name, data) for name in self._program.method_names
        }


class NativeExecutorchArm64(NativeExecutorchRecommender):  # type: ignore[misc]
    """A program with the operator in the arm64 ExecuTorch."""

    def __init__(self, packed: PackedFile, folder: Path, server: Server) -> None:
        RowRecommender.__init__(self, packed)
        self._method = Method(server, folder / executorch_native.MODEL_NAME, "forward")
