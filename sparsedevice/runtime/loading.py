"""Opening a packed file for recommending."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sparsedevice.errors import ConfigError
from sparsedevice.runtime.recommender import Recommender


def load(path: str | Path, backend: Literal["core", "numpy"] = "core", *, verify: bool = True) -> Recommender:
    """Open a packed file.

    Args:
        path: the packed file.
        backend: ``core`` (C, fast) or ``numpy`` (the reference).
        verify: check every promise of docs/format.md; without it only header and section table are
            read, and damaged bytes give wrong answers, but never an access outside the file.

    Raises:
        PackedFileError: naming the broken promise.
        ConfigError: if the backend is unknown.
        SparseDeviceError: if the file cannot be read.
    """
    if backend == "core":
        from sparsedevice.runtime.core import CoreRecommender

        return CoreRecommender.open(path, verify=verify)
    if backend == "numpy":
        from sparsedevice.runtime.reference import NumpyRecommender

        return NumpyRecommender.open(path, verify=verify)
    raise ConfigError(f"backend {backend!r} is unknown here; use core or numpy")
