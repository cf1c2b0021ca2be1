"""How the workers of a parallel run share the processor and the work.

``--dist loadfile`` sends a file's tests to one worker, so that its fixtures are made once. The suffix by
which ``loadgroup`` keeps tests together is lost in pytest 9.2.
"""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is loaded; programs that tests start take it over. A test may still ask for more.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Folders that one worker takes as a whole, for what is made once a session: Java machines; Node and a page.
TOGETHER = ("tests/android/", "tests/web/")
#: What takes longest starts first, so that the workers finish together.
LONGEST = (
    "tests/android/",
    "tests/exporters/test_bundle.py",
    "tests/web/",
    "tests/exporters/test_clicks.py",
    "tests/exporters/test_executorch_conformance.py",
    "tests/emulation/",
    "tests/exporters/test_executorch_native.py",
    "tests/exporters/test_c.py",
    "tests/runtime/test_native.py",
    "tests/training/test_budget.py",
    "tests/bench/test_native.py",
    "tests/exporters/test_models.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((i for i, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: it need not be looked at in every round of garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.split("::")[0])

    return ByFileOrFolder(config, log)
