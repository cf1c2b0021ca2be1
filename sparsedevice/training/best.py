"""The best epoch: its tables wait on disk, and are taken only where they are better by more than noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from sparsedevice.files import atomic_folder, read_json, write_json
from sparsedevice.models.rows import Model

FOLDER = "best"
#: Standard errors by which the best of several looks has to be ahead of the last one.
CLEARLY = 3.0
_MOMENTS = ("first", "second", "updates")


def clearly_better(one: NDArray[np.floating], other: NDArray[np.floating]) -> bool:
    """Whether the mean of ``one`` is above that of ``other`` by more than three standard errors.

    The errors are those of the paired differences: both hold one number for each of the same users,
    float[n]. Three and not two, since the best of many looks is better than most by chance alone.
    """
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    if len(difference) < 2:
        return False
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    return bool(difference.mean() > CLEARLY * error)


class BestEpoch:
    """Remembers the best look at validation; its tables lie in ``OUT/best``, so training's memory stays.

    A checkpoint stores the epoch and its recall. The folder may be ahead of the checkpoint after a crash;
    training is deterministic, so it gets there again, and writes it again.

    Methods that come down to their budget hold more entries at first. Looks at tables of another size than
    the last look's do not count, or an epoch that is over the budget would be kept.

    Attributes:
        epoch: epochs done at the best look; 0 before the first.
        recall: recall of each validation user at that look, float32[n].
        sizes: active entries of each table at that look.
    """

    def __init__(self, out: Path) -> None:
        self.epoch = 0
        self.recall: NDArray[np.float32] = np.zeros(0, np.float32)
        self.sizes: list[int] = []
        self._path = out / FOLDER

    def look(self, model: Model, epoch: int, recall: NDArray[np.floating], *, last: bool) -> None:
        """Take note of a look; the tables are written where it is the best so far and not the last."""
        sizes = _sizes(model)
        if last or (self.sizes == sizes and float(recall.mean()) <= float(self.recall.mean())):
            return
        self.epoch, self.recall, self.sizes = epoch, recall.astype(np.float32), sizes
        tensors = {
            f"{name}.{key}": tensor.contiguous().cpu()
            for name, table in model.tables.items()
            for key, tensor in table.state().items()
            if key not in _MOMENTS
        }
        tensors |= {f"model.{key}": tensor.contiguous().cpu() for key, tensor in model.state().items()}
        with atomic_folder(self._path) as folder:
            (folder / "tables.safetensors").write_bytes(save(tensors))
            write_json(folder / "state.json", {"epoch": epoch})

    def restore(self, model: Model, last: NDArray[np.floating]) -> bool:
        """Put the best epoch's tables back if it is clearly better than the last look's recall, float[n]."""
        if not self.epoch or self.sizes != _sizes(model) or not clearly_better(self.recall, last):
            return False
        if read_json(self._path / "state.json")["epoch"] != self.epoch:
            return False
        tensors = load_file(self._path / "tables.safetensors")
        for name, table in model.tables.items():
            state = table.state()
            table.load_state({key: tensors.get(f"{name}.{key}", tensor) for key, tensor in state.items()})
        model.load_state({key: tensors[f"model.{key}"] for key in model.state()})
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint stores as JSON."""
        return {"epoch": self.epoch, "recall": self.recall.tolist(), "sizes": self.sizes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what ``state`` returned."""
        self.epoch, self.recall = int(state["epoch"]), np.array(state["recall"], np.float32)
        self.sizes = list(state["sizes"])


def _sizes(model: Model) -> list[int]:
    return [table.nnz for table in model.tables.values()]
