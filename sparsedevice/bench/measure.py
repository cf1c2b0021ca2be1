"""``measure``: one cell of a benchmark in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsedevice import __version__
from sparsedevice.bench.cpus import choose_cpus
from sparsedevice.bench.energy import UNREADABLE, read_energy_uj, used_uj
from sparsedevice.bench.environment import max_khz, read_environment
from sparsedevice.bench.memory import (
    UNAVAILABLE,
    Memory,
    cached_bytes,
    drop_cached,
    peak_resident_bytes,
    read_memory,
    release_free_memory,
    reset_peak,
    resident_file_bytes,
)
from sparsedevice.bench.phases import EXCLUDED, SHORTLIST, run_phases
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.timing import Emit, clock_overhead_ns, ignore, steady, summarise
from sparsedevice.bench.trace import Queries, find_queries
from sparsedevice.errors import ConfigError

if TYPE_CHECKING:
    from sparsedevice.exporters import Bundle
    from sparsedevice.runtime import Recommender


def measure(
    bundle: str | Path, settings: BenchSettings, *, queries: Queries | None = None, emit: Emit = ignore
) -> dict[str, Any]:
    """Measure a bundle in this process, one query at a time.

    A query is ``recommend(history=ids, k=k)``: from item ids to item ids, with fold-in, scores, exclusion and
    choice. Loading is timed after the files were hashed; it does not repeat the check of every promise,
    which ``verify_ms`` tells.

    Args:
        bundle: the bundle's folder.
        settings: what to measure; ``harness`` is not looked at.
        queries: the histories; None for those that ``settings.trace`` stands for.
        emit: gets the samples while they are taken.

    Returns:
        JSON-ready; docs/benchmarking.md explains each field.

    Raises:
        BundleError: if the bundle is damaged.
        ConfigError: if the bundle has nothing for this backend, or the machine cannot do what is asked.
        MissingExtraError: if the backend's package is not installed.
    """
    from sparsedevice.exporters import Bundle
    from sparsedevice.packing import PackedFile

    started = time.perf_counter_ns()
    opened = Bundle.load(bundle)
    opened.check_ranks()
    packed = PackedFile.open(opened.path / "model.sd")
    verify_ms = (time.perf_counter_ns() - started) / 1e6
    backend = settings.backend or opened.target.backend
    opened.prepare(backend)
    if queries is None:
        queries = find_queries(settings.trace, packed, settings.seed)
    ids = packed.vocabulary.ids
    asked = [[ids[row] for row in history.tolist()] for history in queries.histories]
    step = max(1, packed.n_items // SHORTLIST)
    shortlist = [ids[row] for row in range(0, packed.n_items, step)][:SHORTLIST]
    del packed, ids

    files = [opened.path / name for name in opened.artefacts(backend)]
    if settings.cache == "dropped":
        release_free_memory()
        drop_cached(files)
    restore = _pin(settings.cpus)
    try:
        result = _run(opened, backend, settings, asked, shortlist, files, emit)
    finally:
        restore()
    return {
        "target": "host",
        "harness": "python",
        "export": opened.target.name,
        "backend": backend,
        "k": settings.k,
        "verify_ms": verify_ms,
        **result,
        "file_bytes": opened.artefact_bytes(backend),
        "page_cache": settings.cache,
        "threads": settings.threads,
        "cpus": settings.cpus,
        "clock_overhead_ns": clock_overhead_ns(),
        "excluded": EXCLUDED,
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": _hashes(opened, backend),
        "accuracy": accuracy_of(opened, backend),
        "trace": queries.to_json(),
        "environment": read_environment(opened.packages(backend)),
    }


def _run(
    bundle: Bundle,
    backend: str,
    settings: BenchSettings,
    queries: list[list[str]],
    shortlist: list[str],
    files: list[Path],
    emit: Emit,
) -> dict[str, Any]:
    cached = cached_bytes(files)
    release_free_memory()
    reset_peak()
    before = read_memory()
    result, after = _use(bundle, backend, settings, queries, shortlist, emit)
    peak = peak_resident_bytes()
    release_free_memory()
    return {
        **result,
        **_memory(before, after, read_memory()),
        "cached_at_load_bytes": cached,
        "peak_resident_bytes": peak,
    }


def _use(
    bundle: Bundle,
    backend: str,
    settings: BenchSettings,
    queries: list[list[str]],
    shortlist: list[str],
    emit: Emit,
) -> tuple[dict[str, Any], Memory | None]:
    """Everything between opening and closing; and the memory after the warm-up."""
    started = time.perf_counter_ns()
    recommender = bundle.open(backend, verify=False)
    load_ms = (time.perf_counter_ns() - started) / 1e6
    kernel = _choose_kernel(recommender, backend, settings.kernel)

    def ask(number: int) -> None:
        recommender.recommend(history=queries[number % len(queries)], k=settings.k)

    first = steady(ask, repetitions=1, min_seconds=0.0, phase="first_query", emit=emit)
    warm = steady(ask, repetitions=settings.warmup, min_seconds=0.0, phase="warmup", emit=emit)
    after = read_memory()
    mapped = resident_file_bytes(bundle.path)
    energy = read_energy_uj()
    phases = run_phases(recommender, backend, queries, shortlist, settings, emit)
    energy_end = read_energy_uj()
    used = used_uj(energy, energy_end)
    result: dict[str, Any] = {
        "load_ms": load_ms,
        "first_query_us": first[0] / 1000,
        "warmup_us": summarise(warm)["mean_us"] if warm else None,
        **phases,
        "resident_file_bytes": mapped,
        "energy_uj": used,
        **({} if used is not None else {"energy_note": UNREADABLE}),
    }
    return ({**result, "kernel": kernel} if kernel is not None else result), after


def _choose_kernel(recommender: Recommender, backend: str, wanted: str | None) -> str | None:
    """Take the kernel that is asked for; the name of the one in use, None where a backend has none."""
    kernels: list[str] | None = getattr(recommender, "kernels", None)
    if wanted is not None:
        if kernels is None:
            raise ConfigError(f"backend {backend!r} has no kernels to choose from; leave out --kernel")
        if wanted not in kernels:
            raise ConfigError(f"this machine has no kernel {wanted!r}; use one of {', '.join(kernels)}")
        recommender.kernel = wanted  # type: ignore[attr-defined]
    return getattr(recommender, "kernel", None)


def _memory(before: Memory | None, after: Memory | None, left: Memory | None) -> dict[str, Any]:
    if before is None or after is None or left is None:
        nothing = dict.fromkeys(("anonymous_bytes", "retained_bytes", "pss_bytes", "resident_bytes"))
        return {**nothing, "memory_note": UNAVAILABLE}
    return {
        "anonymous_bytes": after.anonymous_bytes - before.anonymous_bytes,
        "retained_bytes": left.anonymous_bytes - before.anonymous_bytes,
        "pss_bytes": after.pss_bytes,
        "resident_bytes": after.total_bytes,
    }


def accuracy_of(bundle: Bundle, backend: str) -> dict[str, Any] | None:
    """What the manifest says the artefact is worth; None for a backend that it was not measured with.

    The packed file's own backends give the same answers, so that they share a figure.
    """
    from sparsedevice.exporters.targets import FILE_BACKENDS

    measured = bundle.target.backend
    if backend == measured or (backend in FILE_BACKENDS and measured in FILE_BACKENDS):
        accuracy: dict[str, Any] = bundle.manifest["accuracy"]
        return accuracy
    return None


def _pin(cpus: str | None) -> Callable[[], None]:
    if cpus is None:
        return lambda: None
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("this platform cannot pin a process to cores; leave out --cpus")
    before = os.sched_getaffinity(0)
    chosen = choose_cpus(cpus, max_khz())
    try:
        os.sched_setaffinity(0, chosen)
    except OSError as error:
        raise ConfigError(f"cannot run on the cores {cpus}: {error.strerror}") from error
    return lambda: os.sched_setaffinity(0, before)


def _hashes(bundle: Bundle, backend: str) -> dict[str, str]:
    return {name: bundle.manifest["files"][name]["sha256"] for name in bundle.artefacts(backend)}
