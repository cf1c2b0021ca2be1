"""How an arm talks to the runner: JSON lines on standard input and output. Needs only numpy.

An arm is a script with ``REQUIREMENTS`` (pinned packages), ``VARIANTS`` and ``load(variant, data, k)``, which
returns a :class:`Loaded`. Packages of its own are imported inside ``load``, so that the runner can read the
rest; ``serve`` is told their names and imports them before it looks at memory. An arm that exports something
first does so in ``build(variant, data, k)``, which runs in a process before: what exporting leaves in memory
is not the arm's.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Queries asked untimed before a block, as another arm has used the caches: so many, or until this long has
#: passed; one at least. A query of milliseconds has read its whole table.
WARM, WARM_NS = 3, 1_000_000


@dataclass
class Loaded:
    """An index that is ready.

    Attributes:
        ask: from the number of a query to the best rows, best first.
        index_bytes: what an app would ship.
        note: what a reader must know.
    """

    ask: Callable[[int], Any]
    index_bytes: int
    note: str = ""


def serve(
    load: Callable[[str, Path, int], Loaded],
    *packages: str,
    build: Callable[[str, Path, int], None] | None = None,
) -> None:
    """Answer the runner until it closes standard input: ``python ARM VARIANT DATA K [build]``."""
    variant, data, k = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if sys.argv[4:] == ["build"]:
        if build is not None:
            build(variant, data, k)
        _say({"built": build is not None})
        return
    for package in packages:
        importlib.import_module(package)
    before = anonymous_bytes()
    started = time.perf_counter_ns()
    loaded = load(variant, data, k)
    load_ms = (time.perf_counter_ns() - started) / 1e6
    gc.collect()
    loaded.ask(0)
    ready = {"load_ms": load_ms, "index_bytes": loaded.index_bytes, "note": loaded.note}
    ready["anonymous_bytes"] = None if before is None else anonymous_bytes() - before
    gc.disable()
    ready["clock_ns"] = float(np.median(time_block(lambda _: None, [0] * 500)["cpu_ns"]))
    _say(ready)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            _say(time_block(loaded.ask, request["queries"]))
        else:
            _say({"rows": [np.asarray(loaded.ask(query)).ravel().tolist() for query in request["queries"]]})


def time_block(ask: Callable[[int], Any], queries: list[int]) -> dict[str, Any]:
    """Nanoseconds of each query, by this process's processor time and by the clock; and if it was left alone.

    It was left alone if the kernel has not given the processor to another program in the middle of it,
    nor of the query before, which leaves the caches to the next.
    """
    cpu, clock = time.process_time_ns, time.perf_counter_ns
    begin = cpu()
    for query in queries[:WARM]:
        ask(query)
        if cpu() - begin > WARM_NS:
            break
    cpu_ns, wall_ns, alone = [], [], []
    seen = _switches()
    undisturbed = True
    for query in queries:
        at, start = cpu(), clock()
        ask(query)
        wall_ns.append(clock() - start)
        cpu_ns.append(cpu() - at)
        now = _switches()
        alone.append(now == seen and undisturbed)
        undisturbed, seen = now == seen, now
    return {"cpu_ns": cpu_ns, "wall_ns": wall_ns, "alone": alone}


def _switches() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def anonymous_bytes() -> int | None:
    """Anonymous memory of this process; None where the kernel does not tell."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:")), None)


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
