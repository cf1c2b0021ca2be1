"""``python -m sparsedevice.bench.child REQUEST``: one cell in a process of its own, as JSON lines.

Here or on another machine: what it prints is what ``raw.collect`` follows. REQUEST is a JSON object with
``bundle``, ``settings``, ``rows`` (a file of histories) and ``about`` (where they come from).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsedevice.bench.measure import measure
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.trace import Queries
from sparsedevice.errors import SparseDeviceError


def main(request: str) -> int:
    """Measure and print; 0, or 2 where the user can mend it."""
    asked: dict[str, Any] = json.loads(request)
    try:
        queries = Queries.read(Path(asked["rows"]), asked["about"])
        result = measure(
            asked["bundle"], BenchSettings(**asked["settings"]), queries=queries, emit=_print_samples
        )
    except SparseDeviceError as error:
        _print({"event": "error", "message": str(error)})
        return 2
    _print({"event": "result", **result})
    return 0


def _print_samples(phase: str, samples_ns: Sequence[int]) -> None:
    _print({"event": "samples", "phase": phase, "ns": samples_ns})


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
