"""Train sparse recommenders to a byte budget and run them on a device.

The names below are the whole public surface; each is imported when it is first used, so that
``import sparsedevice`` needs only numpy and takes no noticeable time.
``sparsedevice.bench`` is a package; its function of that name measures a bundle.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Recommender", "evaluate", "export", "inspect", "load", "train"]

if TYPE_CHECKING:
    from sparsedevice.evaluation import evaluate
    from sparsedevice.exporters import export
    from sparsedevice.packing import inspect
    from sparsedevice.runtime import Recommender, load
    from sparsedevice.training import train

_HOME = {
    "Recommender": "sparsedevice.runtime",
    "evaluate": "sparsedevice.evaluation",
    "export": "sparsedevice.exporters",
    "inspect": "sparsedevice.packing",
    "load": "sparsedevice.runtime",
    "train": "sparsedevice.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparsedevice' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
