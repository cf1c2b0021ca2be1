"""One cell of a benchmark under emulation: are the answers right, and what do they take. Never a time."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sparsedevice import __version__
from sparsedevice.bench.emulated import cycles
from sparsedevice.bench.emulated.server import Server
from sparsedevice.bench.emulated.userland import userland
from sparsedevice.bench.environment import read_environment
from sparsedevice.bench.machines.cache_model import CORES, misses_between, misses_of_marked
from sparsedevice.bench.machines.qemu import counts_between, counts_of_marked, emulate, version
from sparsedevice.bench.measure import accuracy_of
from sparsedevice.bench.native import build_tool
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.trace import Queries, find_queries
from sparsedevice.errors import ConfigError
from sparsedevice.exporters import Bundle
from sparsedevice.exporters.targets import PACKED_NAME
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import Recommender, load

#: Queries whose answers are compared and counted: emulation is slow, and counts do not vary.
N_CHECKED = 16
#: Backends whose arm64 builds run in the emulated userland.
RUNTIMES = ("onnx", "onnx-native", "executorch", "executorch-native")
_SCORED_ALIKE = ("int8", "int4")
#: How the names of the core's functions begin that score rows.
SCAN = "sd_scan_"


@dataclass(frozen=True)
class _Emulated:
    """What a program did.

    Attributes:
        harness: which program.
        answers: rows and bits of the scores of each query.
        counts: of a query; see :func:`sparsedevice.bench.machines.qemu.counts_between`.
        caches: misses in a query, by core.
        kernel: of the C core; None elsewhere.
        cycles: estimated for the core's scan of a query, by core; None where nothing can estimate them.
    """

    harness: str
    answers: list[tuple[list[int], list[int]]]
    counts: dict[str, Any]
    caches: dict[str, dict[str, float]]
    kernel: str | None = None
    cycles: dict[str, float] | None = None


def count_cell(bundle: Bundle, settings: BenchSettings) -> dict[str, Any]:
    """Answers and executed instructions of an artefact on emulated arm64.

    The C core is built for arm64; onnxruntime and ExecuTorch are the arm64 builds of the versions that are
    installed here, in a userland that is fetched into the user's cache folder.

    Args:
        bundle: what; its files were checked.
        settings: backend, k, kernel, trace and seed are looked at.

    Returns:
        As :func:`sparsedevice.bench.measure.measure` with None for every time and memory figure; ``answers``:
        whether rows and bits of scores are those of ``reference``; ``counts``: instructions, loads, stores
        and bytes of one query on average, by function in ``functions``; ``counted`` says what is in them;
        ``caches``: sizes of the modelled data caches of some cores, and their misses in a query;
        ``estimated_cycles``: of the core's scan, by core, or None; ``estimated`` says how, or why not.

    Raises:
        ConfigError: if the bundle has nothing for the backend, or emulation does not run it.
        MissingExtraError: if the backend's package is not installed here, which chooses the version there.
        TargetError: if emulator, compiler or userland are missing, or the program fails.
    """
    backend = choose_backend(bundle, settings)
    packed = PackedFile.open(bundle.path / PACKED_NAME)
    queries = find_queries(settings.trace, packed, settings.seed)
    checked = replace(queries, histories=queries.histories[:N_CHECKED])
    with tempfile.TemporaryDirectory() as scratch:
        if backend == "core":
            ran = _run_core(packed, checked, settings, Path(scratch))
        else:
            ran = _run_runtime(bundle, backend, packed, checked, settings, Path(scratch))
    answers = _compare(bundle, backend, packed, checked, settings, ran)
    nothing = ("load_ms", "first_query_us", "p50_us", "p90_us", "p99_us", "anonymous_bytes")
    return {
        "target": "qemu-arm64",
        "harness": ran.harness,
        "export": bundle.target.name,
        "backend": backend,
        **({"kernel": ran.kernel} if backend == "core" else {}),
        "k": settings.k,
        **dict.fromkeys(nothing),
        "file_bytes": bundle.artefact_bytes(backend),
        "answers": answers,
        "counts": ran.counts,
        "counted": COUNTED["core" if backend == "core" else "runtime"],
        "caches": {core: {**asdict(CORES[core]), **misses} for core, misses in ran.caches.items()},
        "estimated_cycles": ran.cycles,
        "estimated": _how_estimated(backend, ran),
        "emulator": version(),
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": {name: bundle.manifest["files"][name]["sha256"] for name in bundle.artefacts(backend)},
        "accuracy": accuracy_of(bundle, backend),
        "trace": queries.to_json(),
        "environment": read_environment(bundle.packages(backend)),
    }


#: What the counts of a query hold.
COUNTED = {
    "core": "from item ids to item ids, by function",
    "runtime": (
        "the runtime's second execution of each query, from row numbers to rows and scores; shared libraries"
        " are one entry, as the emulator knows no names of theirs"
    ),
}


def choose_backend(bundle: Bundle, settings: BenchSettings) -> str:
    """The backend that is emulated: the bundle's own where that is a runtime, else the C core.

    Raises:
        ConfigError: if emulation does not run what is asked for.
    """
    own = bundle.target.backend
    backend = settings.backend or (own if own in RUNTIMES else "core")
    if backend not in ("core", *RUNTIMES):
        raise ConfigError(f"target qemu-arm64 runs {', '.join(('core', *RUNTIMES))}, not backend {backend!r}")
    if backend != "core" and settings.kernel is not None:
        raise ConfigError(f"backend {backend!r} has no kernels to choose from; leave out --kernel")
    bundle.prepare(backend)
    return backend


def _run_core(packed: PackedFile, queries: Queries, settings: BenchSettings, scratch: Path) -> _Emulated:
    rows = scratch / "trace.txt"
    queries.write(rows)
    command = [str(build_tool("aarch64")), str(packed.path), str(rows), "--k", str(settings.k)]
    if settings.kernel is not None:
        command += ["--kernel", settings.kernel]
    said = [json.loads(line) for line in emulate([*command, "--answers"])]
    answers = [(answer["rows"], answer["score_bits"]) for answer in said]
    n = len(queries.histories)
    once, more = ([*command, "--queries", str(count)] for count in (1, 1 + n))
    trace = scratch / "scan"
    counts, last = counts_between(once, more, n, trace, SCAN)
    estimated = _scan_cycles(trace.read_bytes(), counts, 1 + n)
    return _Emulated(
        "sd-bench", answers, counts, misses_between(once, more, n), last.get("kernel"), estimated
    )


def _scan_cycles(trace: bytes, counts: dict[str, Any], queries: int) -> dict[str, float] | None:
    """Cycles of a query's scan by core: those of an instruction in the last query, times how many."""
    last = trace[len(trace) // 4 * (queries - 1) // queries * 4 :]
    executed = sum(
        function["instructions"] for name, function in counts["functions"].items() if name.startswith(SCAN)
    )
    return {core: each * executed for core, each in cycles.cycles(last).items()} or None


def _how_estimated(backend: str, ran: _Emulated) -> str:
    if ran.cycles is not None:
        how = f"llvm-mca of {cycles.versions()}, all data in the first cache, every branch foreseen"
        return f"the functions {SCAN}* of a query, which score every row; {how}"
    if backend != "core":
        return "not estimated: the emulator cannot tell a runtime's functions apart"
    return "not estimated: it takes llvm-mc and llvm-mca of LLVM 17 or later (apt install llvm-19)"


def _run_runtime(
    bundle: Bundle,
    backend: str,
    packed: PackedFile,
    queries: Queries,
    settings: BenchSettings,
    scratch: Path,
) -> _Emulated:
    asked = scratch / "asked"
    with ExitStack() as stack:
        recommender, server = open_emulated(bundle.path, backend, packed)
        stack.callback(server.close)
        answers = _ask(recommender, packed, queries, settings)
    asked.write_bytes(server.asked)
    command, n = server.again(asked), len(queries.histories)
    return _Emulated("emulated runtime", answers, counts_of_marked(command, n), misses_of_marked(command, n))


def open_emulated(folder: Path, backend: str, packed: PackedFile) -> tuple[Recommender, Server]:
    """An artefact in its arm64 runtime, and the emulated program, which the caller closes.

    Args:
        folder: of the bundle.
        backend: one of :data:`RUNTIMES`.
        packed: the bundle's packed file.

    Raises:
        TargetError: if emulator, compiler or userland are missing.
    """
    root = userland()
    if backend.startswith("onnx"):
        from sparsedevice.bench.emulated.onnx import OnnxArm64, build_operator, start_onnx

        library = build_operator(folder) if backend == "onnx-native" else None
        server = start_onnx(root)
        return OnnxArm64(packed, folder / "model.onnx", server, library), server
    from sparsedevice.bench.emulated import executorch

    if backend == "executorch":
        server = executorch.start_executorch(root)
        data = folder / "model.ptd"  # of a bundle for executorch-ptd
        tables = data if data.exists() else None
        return executorch.ExecutorchArm64(packed, folder / "model.pte", server, tables), server
    server = executorch.start_executorch(root, folder)
    return executorch.NativeExecutorchArm64(packed, folder, server), server


def _ask(
    recommender: Recommender, packed: PackedFile, queries: Queries, settings: BenchSettings
) -> list[tuple[list[int], list[int]]]:
    ids = packed.vocabulary.ids
    found = []
    for history in queries.histories:
        answer = recommender.recommend(history=[ids[row] for row in history.tolist()], k=settings.k)
        found.append((answer.rows.tolist(), answer.scores.view(np.uint32).tolist()))
    return found


def _compare(
    bundle: Bundle,
    backend: str,
    packed: PackedFile,
    queries: Queries,
    settings: BenchSettings,
    ran: _Emulated,
) -> dict[str, Any]:
    """Rows, and on the integer path without a network score bits, against the same on this machine."""
    assert packed.path is not None
    references = {"numpy": load(packed.path, "numpy")}
    if backend != "core":
        references[f"{backend} here"] = bundle.open(backend)
    equal = True
    for reference in references.values():
        wanted = _ask(reference, packed, queries, settings)
        equal &= [rows for rows, _ in ran.answers] == [rows for rows, _ in wanted]
        if packed.values in _SCORED_ALIKE and packed.network is None:
            equal &= ran.answers == wanted
    return {"equal": equal, "n": len(ran.answers), "reference": " and ".join(references)}
