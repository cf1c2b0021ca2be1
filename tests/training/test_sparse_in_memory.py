"""No array of rows x columns exists at any time: every tensor and every numpy allocation is watched."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sparsedevice.data import Interactions
from sparsedevice.data.splits import Split
from sparsedevice.evaluation import evaluate_run, ranking
from sparsedevice.run import Run
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training import TrainConfig, fold_in, loop
from sparsedevice.training.trainer import fit

USERS, ITEMS, DIM = 24_000, 16_000, 256
DENSE_BYTES = 4 * DIM * ITEMS  # of the smaller table


class LargestTensor(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that any operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.largest = max(self.largest, leaf.numel() * leaf.element_size())
        return out


def world() -> Split:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(USERS), 5)
    item = (rng.integers(0, ITEMS // 8, len(user)) * 8 + user % 8) % ITEMS
    pairs = np.unique(user * ITEMS + item)
    log = Interactions.from_ids((pairs // ITEMS).tolist(), [*(pairs % ITEMS).tolist()])
    held_out = np.random.default_rng(1).random(len(log)) < 0.01
    return Split(log.select(~held_out), log.select(held_out), None, "one in a hundred")


def test_initialisation_training_growth_checkpoint_and_evaluation_stay_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = world()
    # Scores are users x items, not rows x columns; keep them out of the way of the measurement.
    monkeypatch.setattr(ranking, "SCORE_BYTES", 1 << 20)
    monkeypatch.setattr(loop, "VALIDATION_USERS", 50)
    monkeypatch.setattr(fold_in, "USERS", 100)  # the arrays of a few users are those of all
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    config = TrainConfig(
        sparsity=0.97, dim=DIM, epochs=1, batch_users=32, negatives=64, delta_t=0.5, validation_every=1
    ).resolve(split.train.n_users, split.train.n_items, len(split.train))
    moved: list[int] = []
    restructure = SparseTable.restructure

    def counted(self: SparseTable, keep: Tensor, row: Tensor, column: Tensor) -> None:
        moved.append(row.numel())
        restructure(self, keep, row, column)

    monkeypatch.setattr(SparseTable, "restructure", counted)
    saved: list[int] = []
    save = loop.Trainer.save
    monkeypatch.setattr(loop.Trainer, "_step", every_fiftieth_step(loop.Trainer._step))

    def counted_save(self: loop.Trainer) -> Path:
        if len(saved) >= 3:
            return tmp_path
        saved.append(self.position.step)
        return save(self)

    monkeypatch.setattr(loop.Trainer, "save", counted_save)

    def everything() -> Run:
        saved.clear()
        run = fit(split, config, out=tmp_path, source={})
        evaluate_run(run, part="validation", users="folded")
        assert len(saved) == 3
        return run

    # One after the other: under the dispatch mode torch's own Python objects would drown the numpy arrays.
    with LargestTensor() as watch:
        run = everything()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    everything()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()

    assert sum(moved) > 0
    items_dense = 4 * DIM * split.train.n_items
    assert watch.largest < items_dense / 4
    assert peak < items_dense * (1 + split.train.n_users / split.train.n_items) * 0.6
    assert run.metrics["memory"]["share_of_dense"] < 0.1
    assert run.items.nnz == split.train.n_items * 7


def every_fiftieth_step(step: Any) -> Any:
    """Training that skips most steps: the arrays of one are those of all."""

    def some(self: loop.Trainer, order: Any, epoch: int, number: int) -> None:
        position = self.position.step
        if position % 50 == 0 or (position + 1) % self._period == 0:
            step(self, order, epoch, number)
        else:
            self.position.step += 1

    return some


def test_the_watch_would_see_a_dense_table() -> None:
    import torch

    with LargestTensor() as watch:
        torch.zeros(ITEMS, DIM)
    assert watch.largest == DENSE_BYTES
