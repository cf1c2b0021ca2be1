"""Emulated arm64: are the answers right, and how many instructions do they take. Never a time."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sparsedevice import __version__
from sparsedevice.bench.environment import read_environment
from sparsedevice.bench.machines.base import lines_of
from sparsedevice.bench.machines.cache_model import CORES, misses_between
from sparsedevice.bench.measure import accuracy_of
from sparsedevice.bench.native.build import HERE, build_tool, compile_once, find_compiler
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.trace import Queries, find_queries
from sparsedevice.errors import ConfigError, TargetError
from sparsedevice.exporters import Bundle
from sparsedevice.exporters.targets import PACKED_NAME
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load

EMULATOR = "qemu-aarch64"
#: Queries whose answers are compared and counted: emulation is slow, and counts do not vary.
N_CHECKED = 16


@dataclass(frozen=True)
class Counts:
    """What a function executed."""

    instructions: int
    loads: int
    load_bytes: int
    stores: int
    store_bytes: int

    def minus(self, other: Counts, parts: int) -> dict[str, float]:
        """The difference, a part."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (mine[name] - theirs[name]) / parts for name in mine}


_NOTHING = Counts(0, 0, 0, 0, 0)


def count_cell(bundle: Bundle, settings: BenchSettings) -> dict[str, Any]:
    """Answers and executed instructions of the C core, built for arm64 and emulated.

    Args:
        bundle: what; its packed file is run.
        settings: k, kernel, trace and seed are looked at.

    Returns:
        As :func:`sparsedevice.bench.measure.measure` with None for every time and memory figure, ``answers``
        (rows and bits of scores against the numpy reference on this machine) and ``counts``: instructions,
        loads, stores and bytes of one query on average, by function in ``functions``; ``caches``: sizes
        of the modelled data caches of some cores, and their misses in a query.

    Raises:
        ConfigError: if another backend than the core is asked for.
        TargetError: if emulator or compiler are missing, or the program fails.
    """
    if settings.backend not in (None, "core"):
        raise ConfigError(f"target qemu-arm64 runs backend core, not {settings.backend!r}")
    packed = PackedFile.open(bundle.path / PACKED_NAME)
    queries = find_queries(settings.trace, packed, settings.seed)
    tool = build_tool("aarch64")
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "trace.txt"
        replace(queries, histories=queries.histories[:N_CHECKED]).write(rows)
        command = [str(tool), str(packed.path), str(rows), "--k", str(settings.k)]
        if settings.kernel is not None:
            command += ["--kernel", settings.kernel]
        answers = _check_answers(command, packed, queries, settings)
        once, kernel = count_program([*command, "--queries", "1"])
        more, _ = count_program([*command, "--queries", str(1 + N_CHECKED)])
        once_more = [*command, "--queries", str(1 + N_CHECKED)]
        caches = misses_between([*command, "--queries", "1"], once_more, N_CHECKED)
    functions = {
        name: counts.minus(once.get(name, _NOTHING), N_CHECKED)
        for name, counts in more.items()
        if counts != once.get(name, _NOTHING)
    }
    totals = {key: sum(f[key] for f in functions.values()) for key in asdict(_NOTHING)}
    times = ("load_ms", "first_query_us", "p50_us", "p90_us", "p99_us", "anonymous_bytes")
    return {
        "target": "qemu-arm64",
        "harness": "sd-bench",
        "export": bundle.target.name,
        "backend": "core",
        "kernel": kernel.get("kernel"),
        "k": settings.k,
        **dict.fromkeys(times),
        "file_bytes": bundle.file_bytes[PACKED_NAME],
        "answers": answers,
        "counts": {
            **totals,
            "functions": dict(sorted(functions.items(), key=lambda f: -f[1]["instructions"])),
        },
        "caches": {core: {**asdict(CORES[core]), **misses} for core, misses in caches.items()},
        "emulator": _version(),
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": {PACKED_NAME: bundle.manifest["files"][PACKED_NAME]["sha256"]},
        "accuracy": accuracy_of(bundle, "core"),
        "trace": queries.to_json(),
        "environment": read_environment(),
    }


def emulate(
    command: list[str], plugin: list[str] | None = None, env: dict[str, str] | None = None
) -> list[str]:
    """The lines that an arm64 program prints, with every extension that the emulator knows.

    Raises:
        TargetError: if the emulator is missing or the program fails.
    """
    if shutil.which(EMULATOR) is None:
        raise TargetError(f"{EMULATOR} is not installed (Debian and Ubuntu: apt install qemu-user)")
    full = {**os.environ, **(env or {})}
    return list(lines_of([EMULATOR, "-cpu", "max", *(plugin or []), *command], "qemu-arm64", env=full))


def count_program(
    command: list[str], trace: Path | None = None, prefix: str = ""
) -> tuple[dict[str, Counts], dict[str, Any]]:
    """Run an arm64 program and count what each of its functions executes.

    Args:
        command: the program and its arguments.
        trace: file for the code of every executed instruction, in order, of the functions named ``prefix…``.
        prefix: how their names begin.

    Returns:
        Counts by function, and the last JSON object that the program printed ({} if none).

    Raises:
        TargetError: if the plugin cannot be built, or the program fails.
    """
    flags = ["-shared", "-fPIC", "-O2", "-std=gnu11", str(HERE / "count.c")]
    machine = os.uname().machine
    plugin = compile_once(
        "count.so", find_compiler(machine), flags, [HERE / "count.c", HERE / "qemu_plugin.h"]
    )
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "counts.tsv"
        env = {"SD_COUNT_OUT": str(table)}
        if trace is not None:
            env |= {"SD_TRACE_OUT": str(trace), "SD_TRACE_PREFIX": prefix}
        lines = emulate(command, ["-plugin", str(plugin)], env)
        if not table.is_file():
            raise TargetError(f"{EMULATOR} ran without the counting plugin; is it built with plugin support?")
        found: dict[str, Counts] = {}
        for line in table.read_text().splitlines():
            name, *numbers = line.split("\t")
            found[name] = Counts(*map(int, numbers))
    said = [json.loads(line) for line in lines if line.startswith("{")]
    return found, said[-1] if said else {}


def _check_answers(
    command: list[str], packed: PackedFile, queries: Queries, settings: BenchSettings
) -> dict[str, Any]:
    """Rows and score bits against the numpy reference here."""
    lines = emulate([*command, "--answers"])
    got = [json.loads(line) for line in lines]
    assert packed.path is not None
    reference = load(packed.path, "numpy")
    ids = packed.vocabulary.ids
    equal = len(got) == len(queries.histories[:N_CHECKED])
    for answer, history in zip(got, queries.histories, strict=False):
        wanted = reference.recommend(history=[ids[row] for row in history.tolist()], k=settings.k)
        equal &= answer["rows"] == wanted.rows.tolist()
        if packed.values in ("int8", "int4"):
            equal &= answer["score_bits"] == wanted.scores.view(np.uint32).tolist()
    return {"equal": bool(equal), "n": len(got), "reference": "numpy"}


def _version() -> str:
    lines = list(lines_of([EMULATOR, "--version"], "qemu-arm64"))
    return lines[0].strip() if lines else EMULATOR
