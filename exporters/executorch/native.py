"""The ExecuTorch program around the operator ``sparsedevice::score_topk``, and the operator's library."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import torch
from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.passes import MemoryPlanningPass
from executorch.runtime import Runtime
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsedevice.errors import BundleError, SparseDeviceError
from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile

from ..c import SOURCE_NAME, write_core
from ..compiler import find_compiler, run_compiler
from ..native import ROWS_HEADER
from ..row_recommender import RowRecommender, Rows
from ..vocabulary_file import VOCABULARY_NAME, write_vocabulary

SOURCES = Path(__file__).parent / "csrc"
MODEL_NAME, OPERATOR_NAME, RUNNER_NAME = "model.pte", "sd_executorch.cpp", "sd_executorch_run.cpp"
#: Results of one call; more take several calls, with those found left out.
TOP_ROWS = 128

_SCHEMA = (
    "(Tensor model, Tensor history, Tensor user, Tensor like, Tensor excluded, Tensor candidates, int k{out})"
    " -> ({result} rows, {second} scores)"
)
_library = torch.library.Library("sparsedevice", "DEF")  # type: ignore[no-untyped-call]
for _name, _out, _result, _second in (
    ("score_topk", "", "Tensor", "Tensor"),
    ("score_topk.out", ", *, Tensor(a!) rows, Tensor(b!) scores", "Tensor(a!)", "Tensor(b!)"),
):
    _library.define(  # type: ignore[no-untyped-call]
        _name + _SCHEMA.format(out=_out, result=_result, second=_second)
    )


def _shapes(
    model: Tensor,  # noqa: ARG001
    history: Tensor,
    user: Tensor,  # noqa: ARG001
    like: Tensor,  # noqa: ARG001
    excluded: Tensor,  # noqa: ARG001
    candidates: Tensor,  # noqa: ARG001
    k: int,
) -> tuple[Tensor, Tensor]:
    return history.new_empty(k), history.new_empty(k, dtype=torch.float32)


_library.impl("score_topk", _shapes, "Meta")  # type: ignore[no-untyped-call]


class Recommend(nn.Module):
    """``forward(history, user, like, excluded, candidates) -> rows int64[k], scores float32[k]``."""

    def __init__(self, packed: PackedFile) -> None:
        super().__init__()
        self.model: Tensor
        self.register_buffer("model", torch.from_numpy(np.array(packed.data)))
        self.k = min(TOP_ROWS, packed.n_items)

    def forward(
        self, history: Tensor, user: Tensor, like: Tensor, excluded: Tensor, candidates: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        operator = torch.ops.sparsedevice.score_topk.default
        rows, scores = operator(self.model, history, user, like, excluded, candidates, self.k)
        return rows, scores


def write_native(packed: PackedFile, folder: Path) -> list[str]:
    """Write the program, the operator's sources and the runner into ``folder``, and return their names."""
    # One place more than the table has rows, for padding.
    sizes = [torch.export.Dim(name, min=0, max=packed.n_items + 1) for name in "hec"]
    lists = tuple(torch.full((2,), -1) for _ in sizes)
    one = torch.full((1,), -1)
    args = (lists[0], one, one.clone(), lists[1], lists[2])
    shapes = ({0: sizes[0]}, None, None, {0: sizes[1]}, {0: sizes[2]})
    exported = torch.export.export(Recommend(packed), args, dynamic_shapes=shapes)
    edge = to_edge_transform_and_lower(exported, compile_config=EdgeCompileConfig(_check_ir_validity=True))
    # The caller's own buffers are used in place.
    planning = MemoryPlanningPass(alloc_graph_input=False)
    program = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    with atomic_file(folder / MODEL_NAME) as file:
        program.write_to_file(file)
    names = [MODEL_NAME, *write_core(folder)]
    for source in (ROWS_HEADER, SOURCES / OPERATOR_NAME, SOURCES / RUNNER_NAME):
        (folder / source.name).write_bytes(source.read_bytes())
        names.append(source.name)
    write_vocabulary(packed, folder)
    return [*names, VOCABULARY_NAME]


def open_native(packed: PackedFile, folder: Path) -> NativeExecutorchRecommender:
    """Open the program in ``folder``, with the operator compiled from the sources beside it."""
    return NativeExecutorchRecommender(packed, folder)


def runtime_folder() -> Path:
    """The folder of the installed ExecuTorch, with ``include`` and ``lib``.

    Raises:
        SparseDeviceError: if this build of ExecuTorch comes without its C++ files.
    """
    spec = importlib.util.find_spec("executorch")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "lib" / "libexecutorch.so").is_file():
            return Path(place)
    raise SparseDeviceError(
        "the installed executorch has no C++ libraries to build an operator with;"
        " install executorch 1.5.1 or later for Linux, or use --target executorch"
    )


def compile_operator(sources: Path, library: Path) -> None:
    """Compile the operator in ``sources`` into a shared library for the installed ExecuTorch.

    Raises:
        SparseDeviceError: if there is no compiler, or it fails.
    """
    runtime = runtime_folder()
    core = library.with_suffix(".o")
    core_flags = ["-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-c"]
    run_compiler([*find_compiler(), *core_flags, sources / SOURCE_NAME, "-o", core])
    flags = ["-std=c++17", "-O2", "-fPIC", "-shared", "-DC10_USING_CUSTOM_GENERATED_MACROS"]
    include = runtime / "include"
    places = [f"-I{sources}", f"-I{include}", f"-I{include}/executorch/runtime/core/portable_type/c10"]
    parts: list[str | Path] = [sources / OPERATOR_NAME, core, "-o", library]
    link = [f"-L{runtime / 'lib'}", "-lexecutorch", f"-Wl,-rpath,{runtime / 'lib'}"]
    run_compiler([*find_compiler("CXX"), *flags, *places, *parts, *link])


#: Hash of the sources of the operator that this process runs; a runtime takes one of a name.
_loaded: str | None = None


def load_operator(sources: Path) -> None:
    """Compile the operator in ``sources`` and hand it to the runtime of this process, once.

    Raises:
        BundleError: if the process runs the operator of other sources already.
        SparseDeviceError: if it cannot be compiled.
    """
    global _loaded
    names = (SOURCE_NAME, ROWS_HEADER.name, OPERATOR_NAME)
    content = hashlib.sha256(b"".join((sources / name).read_bytes() for name in names)).hexdigest()
    if _loaded is None:
        Runtime.get()  # its registry must be there first
        with tempfile.TemporaryDirectory() as name:
            library = Path(name) / "libsd_executorch.so"
            compile_operator(sources, library)
            ctypes.CDLL(str(library))  # stays loaded after the file is gone
        _loaded = content
    elif _loaded != content:
        raise BundleError(
            f"{sources} holds another version of the operator than this process runs already;"
            " open it in a new process"
        )


class NativeExecutorchRecommender(RowRecommender):
    """Recommends through the program and the compiled operator; ids and titles come from the packed file."""

    def __init__(self, packed: PackedFile, folder: Path) -> None:
        """Load the program in ``folder``, with the operator of the sources beside it.

        Raises:
            BundleError: if the runtime does not accept the program.
            SparseDeviceError: if the operator cannot be compiled.
        """
        super().__init__(packed)
        load_operator(folder)
        try:
            self._program = Runtime.get().load_program(folder / MODEL_NAME)
            self._method = self._program.load_method("forward")
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"ExecuTorch does not accept {folder / MODEL_NAME}: {reason}; export the run again"
            ) from error

    def top_rows(
        self, *, history: Rows, user: int, like: int, excluded: Rows, candidates: Rows | None, k: int
    ) -> tuple[Rows, NDArray[np.float32]]:
        """See :meth:`RowRecommender.top_rows`."""
        lists = [self._tensor(history), *(torch.from_numpy(np.array([row])) for row in (user, like))]
        among = torch.empty(0, dtype=torch.int64) if candidates is None else self._tensor(candidates)
        found_rows, found_scores = [], []
        left = min(k, self.packed.n_items)
        while True:
            rows, scores = self._method.execute([*lists, self._tensor(excluded), among])
            # The program's own memory: the next call writes there. Rows of -1 come last.
            rows, scores = rows.numpy()[:left].copy(), scores.numpy()[:left].copy()
            count = len(rows) if rows[-1] >= 0 else int(np.argmax(rows < 0))
            found_rows.append(rows[:count])
            found_scores.append(scores[:count])
            left -= count
            if not left or count < len(rows):
                break
            excluded = np.concatenate((excluded, rows))
        if len(found_rows) == 1:
            return found_rows[0], found_scores[0]
        return np.concatenate(found_rows), np.concatenate(found_scores)

    def _tensor(self, rows: Rows) -> Tensor:
        """Rows as the program takes them: at most as many as the table has, padding where there are none."""
        if not len(rows):
            return torch.from_numpy(np.array([-1]))
        return torch.from_numpy(np.unique(rows) if len(rows) > self.packed.n_items else rows)
