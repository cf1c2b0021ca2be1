"""``bench``: the phases of one measurement, in the order in which a device goes through them."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsedevice import __version__
from sparsedevice.bench.environment import read_environment
from sparsedevice.bench.memory import UNAVAILABLE, read_memory, release_free_memory, resident_file_bytes
from sparsedevice.bench.timing import clock_overhead_ns, steady, summarise
from sparsedevice.bench.trace import Trace
from sparsedevice.errors import ConfigError

if TYPE_CHECKING:
    from sparsedevice.exporters import Bundle


def bench(
    bundle: str | Path,
    *,
    backend: str | None = None,
    k: int = 20,
    repetitions: int = 200,
    min_seconds: float = 1.0,
    warmup: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a bundle on this machine, one query at a time, on one thread.

    A query is ``recommend(history=ids, k=k)``: from item ids to item ids, with fold-in, scores, exclusion and
    choice. Loading is timed after the files were hashed, so their pages are in the page cache; it does not
    repeat the check of every promise, which ``verify_ms`` tells.

    Args:
        bundle: the bundle's folder.
        backend: ``core`` and ``numpy`` for any bundle, or the target's own, which None stands for.
        k: length of a ranking.
        repetitions: least number of timed queries.
        min_seconds: least time that the timed queries take together.
        warmup: queries between the first and the timed ones.
        seed: of the query trace.

    Returns:
        JSON-ready: ``load_ms``, ``verify_ms``, ``first_query_us``, ``warmup_us``, ``p50_us``, ``p90_us``,
        ``p99_us``, ``mean_us``, ``std_us``, ``min_us``, ``max_us``, ``n``, ``file_bytes``,
        ``anonymous_bytes`` and ``resident_file_bytes`` (None, with ``memory_note``, where unknown),
        ``backend``, ``k``, ``target``, ``trace`` and ``environment``.

    Raises:
        BundleError: if the bundle is damaged.
        ConfigError: if the bundle has nothing for this backend, or a setting is outside its range.
        MissingExtraError: if the backend's package is not installed.
    """
    _check(k=k, repetitions=repetitions, min_seconds=min_seconds, warmup=warmup, seed=seed)
    from sparsedevice.exporters import Bundle
    from sparsedevice.packing import PackedFile

    started = time.perf_counter_ns()
    opened = Bundle.load(bundle)
    packed = PackedFile.open(opened.path / "model.sd")
    verify_ms = (time.perf_counter_ns() - started) / 1e6
    backend = backend or opened.target.backend
    opened.prepare(backend)

    trace = Trace(packed.n_items, seed=seed)
    queries = [[packed.vocabulary.ids[row] for row in history] for history in trace.histories()]
    del packed

    release_free_memory()
    before = read_memory()
    started = time.perf_counter_ns()
    recommender = opened.open(backend, verify=False)
    load_ms = (time.perf_counter_ns() - started) / 1e6

    def ask(number: int) -> None:
        recommender.recommend(history=queries[number % len(queries)], k=k)

    first = steady(ask, repetitions=1, min_seconds=0.0)
    warm = steady(ask, repetitions=warmup, min_seconds=0.0)
    after = read_memory()
    mapped = resident_file_bytes(opened.path)
    samples = steady(ask, repetitions=repetitions, min_seconds=min_seconds)

    result: dict[str, Any] = {
        "target": opened.target.name,
        "backend": backend,
        "k": k,
        "load_ms": load_ms,
        "verify_ms": verify_ms,
        "first_query_us": first[0] / 1000,
        "warmup_us": summarise(warm)["mean_us"] if warm else None,
        **summarise(samples),
        "file_bytes": opened.artefact_bytes(backend),
        "anonymous_bytes": after.anonymous_bytes - before.anonymous_bytes if before and after else None,
        "resident_file_bytes": mapped,
        "threads": 1,
        "page_cache": "warm",
        "clock_overhead_ns": clock_overhead_ns(),
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sparsedevice": __version__,
        "sha256": _hashes(opened, backend),
        "trace": trace.to_json(),
        "environment": read_environment(opened.packages(backend)),
    }
    if result["anonymous_bytes"] is None:
        result["memory_note"] = UNAVAILABLE
    kernel = getattr(recommender, "kernel", None)
    if kernel is not None:
        result["kernel"] = kernel
    return result


def _hashes(bundle: Bundle, backend: str) -> dict[str, str]:
    return {name: bundle.manifest["files"][name]["sha256"] for name in bundle.artefacts(backend)}


def _check(*, k: int, repetitions: int, min_seconds: float, warmup: int, seed: int) -> None:
    whole = (("k", k, 1), ("repetitions", repetitions, 1), ("warmup", warmup, 0), ("seed", seed, 0))
    for name, value, least in whole:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{name} {value!r} is not a whole number of at least {least}")
    number = isinstance(min_seconds, (int, float)) and not isinstance(min_seconds, bool)
    if not number or not 0 <= min_seconds < 1e6:
        raise ConfigError(f"min_seconds {min_seconds!r} is not a number of seconds, 0 or more")
