"""How the workers of a parallel run share the processor and the work.

``--dist loadfile`` sends a file's tests to one worker, so that its fixtures are made once. The suffix by
which ``loadgroup`` keeps tests together is lost in pytest 9.2.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is loaded; programs that tests start take it over. A test may still ask for more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

HERE = Path(__file__).parent
#: Files that share what the session makes go to one worker: these ask the same Java machines.
TOGETHER = (
    "android/test_compact.py",
    "android/test_conformance.py",
    "android/test_demo.py",
    "android/test_library.py",
    "android/test_update.py",
)
#: The files that take longest start first, so that the workers finish together.
LONGEST = (
    "exporters/test_bundle.py",
    "exporters/test_clicks.py",
    "exporters/test_executorch_conformance.py",
    "emulation/test_arm64.py",
    "android/test_emulated.py",
    *TOGETHER,
    "exporters/test_executorch_native.py",
    "exporters/test_c.py",
    "runtime/test_native.py",
    "training/test_budget.py",
    "bench/test_native.py",
    "exporters/test_models.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: it need not be looked at in every round of garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "together" if file.removeprefix("tests/") in TOGETHER else file

    return ByFile(config, log)
