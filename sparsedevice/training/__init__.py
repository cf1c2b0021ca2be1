"""Training: the loop, losses, the row-sparse optimiser, checkpoints. ``train`` is the entrance."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sparsedevice.training.config import TrainConfig

__all__ = ["TrainConfig", "train"]

if TYPE_CHECKING:
    from sparsedevice.training.trainer import train


def __getattr__(name: str) -> Any:
    # train needs torch; TrainConfig, which run folders need, does not.
    if name != "train":
        raise AttributeError(f"module 'sparsedevice.training' has no attribute {name!r}")
    from sparsedevice.extras import require

    require("torch", extra="train")
    function = importlib.import_module("sparsedevice.training.trainer").train
    globals()["train"] = function
    return function
