"""One cell of a benchmark on a machine: place the files, follow the harness, add the circumstances."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sparsedevice import __version__
from sparsedevice.bench.cpus import choose_cpus
from sparsedevice.bench.energy import NOT_IN_C, battery_used_uah
from sparsedevice.bench.environment import explain, read_environment
from sparsedevice.bench.facts import max_khz
from sparsedevice.bench.machines import Machine
from sparsedevice.bench.measure import accuracy_of
from sparsedevice.bench.native import build_tool
from sparsedevice.bench.raw import RawLog, collect
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.trace import Queries, find_queries
from sparsedevice.errors import ConfigError
from sparsedevice.exporters import Bundle
from sparsedevice.exporters.bundle import MANIFEST_NAME
from sparsedevice.exporters.targets import PACKED_NAME
from sparsedevice.packing import PackedFile

#: What no figure of the C harness holds.
EXCLUDED_NATIVE = (
    "reading the trace, checking the file's promises (verify_ms), making result objects (ids come as"
    " pointers into the file), printing, which happens between two samples"
)


def run_cell(machine: Machine, bundle: Bundle, settings: BenchSettings, log: RawLog) -> dict[str, Any]:
    """Measure one cell on a machine, in a process of its own.

    Args:
        machine: where.
        bundle: what; its files were checked.
        settings: how.
        log: gets the raw samples while they are taken.

    Returns:
        What :func:`sparsedevice.bench.measure.measure` returns, with ``target`` naming the machine and
        ``machine`` what it says about itself before and after.

    Raises:
        ConfigError: if the bundle or the machine cannot do what is asked.
        TargetError: if the machine cannot be reached, lacks something, or is lost.
    """
    backend = settings.backend or bundle.target.backend
    harness = choose_harness(machine, backend, settings)
    queries = find_queries(settings.trace, PackedFile.open(bundle.path / PACKED_NAME), settings.seed)
    before = machine.facts()
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "trace.txt"
        queries.write(rows)
        if harness == "native":
            command = _native_command(machine, bundle, settings, rows, before)
        else:
            command = _python_command(machine, bundle, settings, rows, queries)
        result = collect(machine.stream(command), log, machine.name, keep=settings.samples)
    if harness == "native":
        result = _complete(result, bundle, settings, queries, before)
    after = machine.facts()
    return {
        **result,
        "target": machine.name,
        "battery_used_uah": battery_used_uah(before, after),
        "machine": {"before": before, "after": after},
    }


def choose_harness(machine: Machine, backend: str, settings: BenchSettings) -> str:
    """``python`` or ``native``.

    Raises:
        ConfigError: if the C tool is asked for what it cannot do.
    """
    if settings.harness == "native":
        if backend != "core":
            raise ConfigError(f"the native harness runs backend core, not {backend!r}; use --harness python")
        if settings.threads != 1:
            raise ConfigError("the native harness has one thread; use --harness python for --threads")
        return "native"
    if settings.harness == "python" or machine.name == "host" or backend != "core":
        return "python"
    return "native"


def _native_command(
    machine: Machine, bundle: Bundle, settings: BenchSettings, rows: Path, facts: dict[str, Any]
) -> list[str]:
    tool = build_tool(str(facts.get("machine", "")))
    command = [machine.place(tool, "sd-bench"), machine.place(bundle.path / PACKED_NAME), machine.place(rows)]
    command += ["--k", str(settings.k), "--batch", str(settings.batch), "--cache", settings.cache]
    command += ["--repetitions", str(settings.repetitions), "--min-seconds", str(settings.min_seconds)]
    command += ["--warmup", str(settings.warmup)]
    if settings.kernel is not None:
        command += ["--kernel", settings.kernel]
    if settings.cpus is not None:
        command += ["--cpus", ",".join(map(str, choose_cpus(settings.cpus, max_khz(facts))))]
    return command


def _python_command(
    machine: Machine, bundle: Bundle, settings: BenchSettings, rows: Path, queries: Queries
) -> list[str]:
    placed = [
        machine.place(bundle.path / name, f"bundle/{name}") for name in (*bundle.file_bytes, MANIFEST_NAME)
    ]
    request = {
        "bundle": placed[-1].removesuffix(f"/{MANIFEST_NAME}"),
        "settings": settings.to_json(),
        "rows": machine.place(rows),
        "about": queries.about,
    }
    return [machine.python, "-m", "sparsedevice.bench.child", json.dumps(request)]


def _complete(
    result: dict[str, Any], bundle: Bundle, settings: BenchSettings, queries: Queries, facts: dict[str, Any]
) -> dict[str, Any]:
    """What the C tool cannot know, or has no need to."""
    result.pop("checksum")
    result["phases"]["scan"] = _apart(result["phases"], "fold_in_and_scan", "fold_in")
    result["phases"]["choose"] = _apart(result["phases"], "recommend_rows", "fold_in_and_scan")
    return {
        **result,
        "export": bundle.target.name,
        "cpus": settings.cpus,
        "energy_uj": None,
        "energy_note": NOT_IN_C,
        "excluded": EXCLUDED_NATIVE,
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": {PACKED_NAME: bundle.manifest["files"][PACKED_NAME]["sha256"]},
        "accuracy": accuracy_of(bundle, "core"),
        "trace": queries.to_json(),
        "environment": _environment(facts, result),
    }


def _apart(phases: dict[str, Any], whole: str, part: str) -> dict[str, Any]:
    """A phase that is only the difference of two others' medians."""
    return {
        "p50_us": max(0.0, phases[whole]["p50_us"] - phases[part]["p50_us"]),
        "difference_of": [whole, part],
    }


def _environment(facts: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The names that :func:`read_environment` uses, filled from what a shell can read."""
    here = read_environment(())
    nothing = {name: None for name in here if name not in ("missing", "commit")}
    found = {
        **nothing,
        "cpu": facts.get("model") or facts.get("cpu_name") or None,
        "machine": facts.get("machine"),
        "cores": len(facts.get("cpu", {})) or None,
        "governor": facts.get("governor", {}).get("0"),
        "frequency_khz": facts.get("khz", {}).get("0"),
        "max_khz": max_khz(facts) or None,
        "temperatures": facts.get("temperature"),
        "load_average": float(str(facts.get("load_average", "0")).split()[0]),
        "page_bytes": result.pop("page_bytes"),
        "os": facts.get("os"),
        "packages": {},
        "commit": here["commit"],  # the tool was built from this source
    }
    return explain(found, commit=here["missing"].get("commit", ""))
