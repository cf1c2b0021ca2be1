"""One cell of a benchmark of a web bundle, in a browser or in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sparsedevice import __version__
from sparsedevice.bench.environment import explain, read_environment
from sparsedevice.bench.machines.base import lines_of
from sparsedevice.bench.machines.local import LocalMachine
from sparsedevice.bench.measure import accuracy_of
from sparsedevice.bench.phases import SHORTLIST
from sparsedevice.bench.raw import RawLog, collect
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.trace import Queries, find_queries
from sparsedevice.bench.web.page import browser_lines, find_browser
from sparsedevice.errors import ConfigError, TargetError
from sparsedevice.exporters import Bundle
from sparsedevice.exporters.targets import PACKED_NAME
from sparsedevice.packing import PackedFile

WEB_TARGETS = ("browser", "node")
KERNELS = ("wasm-simd", "scalar")
SCRIPT = Path(__file__).parent / "bench.mjs"
_OLDEST_NODE = 18

#: What no figure of a page holds.
EXCLUDED = (
    "starting the browser or Node, importing the module, making the queries, verifying (verify_ms);"
    " loading is from this computer, over loopback in a page;"
    " a sample is the mean of queries_a_sample queries, so that percentiles are of such means"
)


def run_web_cell(target: str, bundle: Bundle, settings: BenchSettings, log: RawLog) -> dict[str, Any]:
    """Measure one cell in a browser, or a Node, that is started for it.

    Args:
        target: ``browser`` or ``node``.
        bundle: of target ``web``; its files were checked.
        settings: how.
        log: gets the raw samples while they are taken.

    Returns:
        What :func:`sparsedevice.bench.measure.measure` returns, with ``clock_resolution_us``, and None
        where a page cannot know.

    Raises:
        ConfigError: if the bundle is for another target, or a page cannot do what is asked.
        TargetError: if browser or Node are missing, fail, or are lost.
    """
    _check(target, bundle, settings)
    program, version = _program(target)
    packed = PackedFile.open(bundle.path / PACKED_NAME)
    queries = find_queries(settings.trace, packed, settings.seed)
    task = json.dumps(_task(packed, queries, settings))
    machine = LocalMachine()
    before = machine.facts()
    with tempfile.TemporaryDirectory() as scratch:
        lines = _lines(target, program, bundle, task, Path(scratch))
        result = collect(lines, log, target, keep=settings.samples)
    environment = {**read_environment(()), "python": None, "packages": {target: version}}
    user_agent = result.pop("user_agent", None)
    return {
        **result,
        "target": target,
        "harness": "page" if target == "browser" else "node",
        "export": bundle.target.name,
        "backend": "core",
        "k": settings.k,
        "retained_bytes": None,
        "resident_file_bytes": None,
        "energy_uj": None,
        "energy_note": "a page reads no counters",
        "cached_at_load_bytes": None,
        "file_bytes": bundle.artefact_bytes(bundle.target.backend),
        "page_cache": settings.cache,
        "threads": settings.threads,
        "cpus": settings.cpus,
        "clock_overhead_ns": 0.0,
        "excluded": EXCLUDED,
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": {name: bundle.manifest["files"][name]["sha256"] for name in bundle.target.artefacts},
        "accuracy": accuracy_of(bundle, "core"),
        "trace": queries.to_json(),
        "environment": explain(environment) | ({"user_agent": user_agent} if user_agent else {}),
        "machine": {"before": before, "after": machine.facts()},
    }


def _check(target: str, bundle: Bundle, settings: BenchSettings) -> None:
    if bundle.target.name != "web":
        raise ConfigError(
            f"{bundle.path} is a bundle for target {bundle.target.name!r}; {target} runs one for the web:"
            " sparsedevice export RUN --target web"
        )
    if settings.kernel not in (None, *KERNELS):
        raise ConfigError(f"{target} has no kernel {settings.kernel!r}; use one of {', '.join(KERNELS)}")
    if settings.backend not in (None, "core"):
        raise ConfigError(f"{target} runs backend core, not {settings.backend!r}; leave out --backend")
    for name, usual in (("threads", 1), ("cache", "warm"), ("cpus", None)):
        if getattr(settings, name) != usual:
            raise ConfigError(f"{target} cannot do --{name} {getattr(settings, name)}; leave it out")
    if settings.harness not in ("auto",):
        raise ConfigError(f"{target} has a harness of its own; leave out --harness")


def _program(target: str) -> tuple[str, str]:
    """The program and what it calls its version."""
    if target == "browser":
        program = find_browser()
        return program, _version(program)
    node = shutil.which("node")
    if node is None:
        raise TargetError("target node needs Node 18 or newer (Debian and Ubuntu: apt install nodejs)")
    version = _version(node)
    number = version.lstrip("v").split(".")[0]
    if not number.isdigit() or int(number) < _OLDEST_NODE:
        raise TargetError(f"target node needs Node {_OLDEST_NODE} or newer; {node} is {version}")
    return node, version


def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"cannot run {program} --version: {error}; install it anew") from error
    return done.stdout.strip()


def _task(packed: PackedFile, queries: Queries, settings: BenchSettings) -> dict[str, Any]:
    ids = packed.vocabulary.ids
    step = max(1, packed.n_items // SHORTLIST)
    return {
        "settings": settings.to_json(),
        "histories": [[ids[row] for row in history.tolist()] for history in queries.histories],
        "shortlist": [ids[row] for row in range(0, packed.n_items, step)][:SHORTLIST],
    }


def _lines(target: str, program: str, bundle: Bundle, task: str, scratch: Path) -> Iterator[str]:
    if target == "browser":
        files = {name: (bundle.path / name).read_bytes() for name in bundle.target.artefacts}
        return browser_lines(program, {**files, SCRIPT.name: SCRIPT.read_bytes(), "task.json": task.encode()})
    (scratch / "task.json").write_text(task, encoding="utf-8")
    command = [program, "--expose-gc", str(SCRIPT), str(bundle.path), str(scratch / "task.json")]
    return lines_of(command, target)
