"""How a learner talks to the runner: JSON lines, and a clock that stands still while it is looked at.

A learner is a script with ``REQUIREMENTS`` (pinned packages), ``VARIANTS`` and ``train(variant, matrix,
watch)``, which calls ``watch.look`` after some of its epochs. Packages of its own are imported inside
``train``; ``learn`` is told their names and imports them before it looks at clock and memory. Needs numpy
and scipy.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse


class Stop(Exception):  # noqa: N818 - a wish, no error
    """The runner wants no further epoch."""


class Watch:
    """Counts the seconds of training alone.

    Attributes:
        threads: what the learner may use.
        seed: of everything random.
    """

    def __init__(self, folder: Path, share: float, threads: int, seed: int) -> None:
        self.threads, self.seed = threads, seed
        self._folder, self._share = folder, share
        self._wall = self._cpu = 0.0
        self._since: tuple[float, float] | None = None

    def epochs(self, usual: int) -> int:
        """The share of a learner's usual number of epochs that is asked for, one at least."""
        return max(1, round(usual * self._share))

    @staticmethod
    def every(epochs: int) -> int:
        """Epochs from one look to the next, for about twenty of them: a look costs the runner seconds."""
        return max(1, round(epochs / 20))

    def start(self) -> None:
        """The clock runs from here."""
        self._since = time.perf_counter(), time.process_time()

    def look(self, epoch: int, users: Any, items: Any, examples: int) -> None:
        """Show what was learnt so far; the clock stands still until the runner has seen it.

        Args:
            epoch: epochs done.
            users: user vectors, float32[n_users, dim], an array or a csr_array.
            items: item vectors, float32[n_items, dim]; a score is the dot product.
            examples: interactions that were trained on so far, repetitions counted.

        Raises:
            Stop: if there is no time for more.
        """
        assert self._since is not None
        self._wall += time.perf_counter() - self._since[0]
        self._cpu += time.process_time() - self._since[1]
        for name, table in (("users", users), ("items", items)):
            scipy.sparse.save_npz(
                self._folder / f"{name}.npz", scipy.sparse.csr_array(table), compressed=False
            )
        entries = items.nnz if scipy.sparse.issparse(items) else int(np.prod(items.shape))
        say({"epoch": epoch, "seconds": self._wall, "cpu_seconds": self._cpu, "examples": examples}
            | {"item_entries": entries})  # fmt: skip
        if sys.stdin.readline().strip() != "go":
            raise Stop
        self.start()


def learn(train: Callable[[str, scipy.sparse.csr_array, Watch], None], *packages: str) -> None:
    """``python LEARNER VARIANT FOLDER SHARE THREADS SEED``; the folder holds ``train.npz``."""
    for package in packages:
        importlib.import_module(package)
    variant, folder = sys.argv[1], Path(sys.argv[2])
    watch = Watch(folder, float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
    matrix = scipy.sparse.csr_array(scipy.sparse.load_npz(folder / "train.npz"))
    before = forget_peak()
    watch.start()
    with contextlib.suppress(Stop):
        train(variant, matrix, watch)
    growth = None if before is None else status_bytes("VmHWM") - before
    say({"done": True, "peak_growth_bytes": growth})


def forget_peak() -> int | None:
    """Resident bytes now, from where the peak is counted anew; None where the kernel does not count."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return status_bytes("VmRSS")
    except OSError:
        return None


def status_bytes(name: str) -> int:
    """A line of ``/proc/self/status``, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def say(value: dict[str, Any]) -> None:
    """One line to the runner."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
