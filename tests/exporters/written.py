"""Artefacts that take seconds to write, shared by all tests of a run and by its workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sparsedevice.packing import PackedFile


def written_once(
    factory: pytest.TempPathFactory, packed: PackedFile, write: Callable[[PackedFile, Path], Any]
) -> Path:
    """The folder where ``write(packed, folder)`` wrote, called by the first who asks for it in this run."""
    import fcntl

    base = factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place = run / f"{write.__name__}-{hashlib.sha256(packed.data).hexdigest()[:16]}"
    with open(place.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            part = factory.mktemp("part")
            write(packed, part)
            part.rename(place)
    return place
