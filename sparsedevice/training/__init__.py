"""Training: the loop, losses, the row-sparse optimiser, checkpoints. ``train`` is the entrance."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from sparsedevice.training.config import TrainConfig

__all__ = ["TrainConfig", "train"]

# Threads of OpenMP that wait for each other keep their core busy unless told otherwise. Beside any other work
# that is ruinous: each of two trainings, or one training on a busy machine, then waits for threads that the
# waiting ones keep off the cores. OpenMP reads this once, when torch is first imported.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
    os.environ["OMP_WAIT_POLICY"] = "passive"

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
