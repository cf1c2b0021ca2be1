from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.errors import ConfigError
from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.exporters import export
from sparsedevice.models.pooled import PooledTower
from sparsedevice.run import Run
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.training import TrainConfig, train
from sparsedevice.training.batches import Batch

WORLD = "synthetic:users=200,items=60,seed=3"
SETTINGS = {"batch_users": 25, "temperature": 0.15}


def test_a_step_follows_the_gradient_of_the_formula() -> None:
    """Autograd of the leave-one-out softmax, with unit rows inside, against the hand-written gradient."""
    torch.manual_seed(1)
    rows = torch.nn.functional.normalize(torch.randn(12, 4))
    counts = np.array([1, 2, 4, 8] * 3)
    table = DenseTable(rows.clone())
    config = TrainConfig(
        loss="softmax",
        model="pooled",
        sparsity=0.0,
        dim=4,
        precision="float32",
        temperature=0.3,
        history_power=0.5,
    )
    user, column = np.array([0, 0, 0, 1, 1]), np.array([1, 4, 7, 0, 11])
    batch = Batch(np.array([0, 1]), np.arange(12), user, column, np.zeros(12, np.float32))
    weight = torch.from_numpy(counts**-0.5).float()
    A = rows.clone().requires_grad_()
    unit = torch.nn.functional.normalize(A)
    x = torch.zeros(2, 12)
    x[user, column] = weight[column]
    q = x @ unit
    total = torch.zeros(())
    for u, p in zip(user, column, strict=True):
        others = [j for j in range(12) if x[u, j] == 0]
        positive = (q[u] @ unit[p] - weight[p] * unit[p] @ unit[p]) / q[u].norm() / 0.3
        negatives = (unit[others] @ q[u]) / q[u].norm() / 0.3
        total = total - positive + torch.cat([positive[None], negatives]).logsumexp(0)
    total.backward()
    assert A.grad is not None
    expected = torch.nn.functional.normalize(rows - 0.01 * torch.nn.functional.normalize(A.grad))
    loss = PooledTower(table, {}, config, counts).step(batch, 0.01, step=0, last=False, progress=0.0)
    assert loss == pytest.approx(total.item(), rel=1e-5)
    torch.testing.assert_close(table.values.view(12, 4), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sparsity", "power"), [(0.0, 0.0), (0.75, 0.5)])
def test_it_learns_and_the_artefact_ranks_the_same(tmp_path: Path, sparsity: float, power: float) -> None:
    run = train(
        WORLD,
        tmp_path / "run",
        model="pooled",
        sparsity=sparsity,
        dim=16,
        epochs=30,
        threads=1,
        settings={**SETTINGS, "history_power": power},
        progress=False,
    )
    assert run.users is None
    assert run.metrics["fold_in"] == {"rule": "part of the model"}
    assert (run.fold_in.weights is None) == (power == 0)
    assert run.fold_in.matrix is None
    if sparsity:
        assert run.items.nnz == 4 * run.items.shape[0]
    loaded = Run.load(tmp_path / "run")
    if power:
        np.testing.assert_array_equal(loaded.fold_in.weights, run.fold_in.weights)
    result = evaluate(tmp_path / "run")
    assert result["users"] == "folded"
    assert result["recall@20"] == run.metrics["test_folded"]["recall@20"]
    assert result["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.1
    export(tmp_path / "run", "packed", tmp_path / "bundle", values="f32")
    packed = evaluate(tmp_path / "bundle")
    assert packed["recall@20"] == pytest.approx(result["recall@20"], abs=1e-6)


def test_a_power_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="history_power 2 is outside"):
        TrainConfig(model="pooled", history_power=2)
