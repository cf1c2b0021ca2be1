"""This project's trainer with its defaults: both tables sparse from the first step to the last."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import scipy.sparse
from watch import Watch, learn

REQUIREMENTS: list[str] = []  # the project's own environment
VARIANTS = ["sparse-0.9"]


def train(_variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """The loop of ``sparsedevice train``, looked at after epochs."""
    import numpy as np
    import torch

    from sparsedevice.evaluation.folding import inverse_norms
    from sparsedevice.models.build import build_model
    from sparsedevice.training.config import TrainConfig, default_epochs
    from sparsedevice.training.loop import Trainer
    from sparsedevice.training.trainer import fast_precision

    torch.set_num_threads(watch.threads)
    matrix = scipy.sparse.csr_array(matrix.astype(np.float32))
    epochs = watch.epochs(default_epochs(matrix.nnz))
    config = TrainConfig(
        epochs=epochs, seed=watch.seed, threads=watch.threads, precision=fast_precision("cpu")
    ).resolve(*matrix.shape, matrix.nnz)
    model = build_model(config, matrix)

    class Watched(Trainer):
        """Looks are the runner's."""

        def _end_epoch(self, epoch: int, _bar: Any) -> None:
            if (epoch + 1) % watch.every(epochs) == 0 or epoch + 1 == epochs:
                items, users = model.trained_tables()
                unit = scipy.sparse.csr_array(items.multiply(inverse_norms(items)[:, None]))
                watch.look(epoch + 1, users, unit, (epoch + 1) * matrix.nnz)

    with tempfile.TemporaryDirectory() as out:
        Watched(model, config, matrix, None, Path(out), {}).run(progress=False)


if __name__ == "__main__":
    learn(train, "torch", "sparsedevice.training.trainer")
