"""How an arm talks to the runner: JSON lines on standard input and output. Needs only numpy.

An arm is a script with ``REQUIREMENTS`` (pinned packages), ``VARIANTS`` and ``load(variant, data, k)``, which
returns a :class:`Loaded`. Packages of its own are imported inside ``load``, so that the runner can read the
rest; ``serve`` is told their names and imports them before it looks at memory.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


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


def serve(load: Callable[[str, Path, int], Loaded], *packages: str) -> None:
    """Answer the runner until it closes standard input: ``python ARM VARIANT DATA K``."""
    for package in packages:
        importlib.import_module(package)
    variant, data, k = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    before = anonymous_bytes()
    started = time.perf_counter_ns()
    loaded = load(variant, data, k)
    load_ms = (time.perf_counter_ns() - started) / 1e6
    gc.collect()
    loaded.ask(0)
    ready = {"load_ms": load_ms, "index_bytes": loaded.index_bytes, "note": loaded.note}
    ready["anonymous_bytes"] = None if before is None else anonymous_bytes() - before
    _say(ready)
    gc.disable()
    clock = time.perf_counter_ns
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            samples = []
            used = time.process_time_ns()
            for query in request["queries"]:
                start = clock()
                loaded.ask(query)
                samples.append(clock() - start)
            _say({"ns": samples, "cpu_ns": time.process_time_ns() - used})
        else:
            _say({"rows": [np.asarray(loaded.ask(query)).ravel().tolist() for query in request["queries"]]})


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
