"""How the workers of a parallel run share the processor and the work.

A file's tests run on one worker (``--dist loadfile``), so its fixtures are made once.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is loaded; programs that tests start take it over. A test may still ask for more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: The files that take longest, which start first so that the workers finish together.
LONGEST = (
    "exporters/test_bundle.py",
    "exporters/test_clicks.py",
    "exporters/test_executorch_conformance.py",
    "emulation/test_arm64.py",
    "android/test_emulated.py",
    "exporters/test_executorch_native.py",
    "exporters/test_c.py",
    "android/test_demo.py",
    "bench/test_native.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: it need not be looked at in every round of garbage collection."""
    gc.collect()
    gc.freeze()
