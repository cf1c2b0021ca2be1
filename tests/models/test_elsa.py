from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.models.elsa import ItemAutoencoder, autoencoder_loss_
from sparsedevice.run import Run
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.training import TrainConfig, train
from sparsedevice.training.batches import Batch


def test_loss_and_gradient_agree_with_autograd_of_the_formula() -> None:
    torch.manual_seed(0)
    history = (torch.rand(5, 9, dtype=torch.float64) < 0.4).double()
    history[:, 0] = 1
    output = torch.randn(5, 9, dtype=torch.float64).requires_grad_()
    weight = torch.rand(9, dtype=torch.float64) * 3 + 1
    weights = torch.where(history > 0, 1.0, weight)
    unit_y = output / (output.square() * weights).sum(1, keepdim=True).sqrt()
    unit_x = history / history.sum(1, keepdim=True).sqrt()
    # The cross term needs only the history's items, whose weight is 1.
    per_user = 2 - 2 * (unit_x * unit_y).sum(1)
    per_user.sum().backward()
    work = output.detach().clone()
    loss = autoencoder_loss_(work, history, weight)
    assert loss == pytest.approx(float((per_user.detach() * history.sum(1)).sum()))
    torch.testing.assert_close(work, output.grad)


def test_a_step_follows_the_gradient_of_the_whole_model() -> None:
    """Rows meet the loss as outputs and as parts of the query; autograd of x A Aᵀ - x sees both."""
    torch.manual_seed(1)
    rows = torch.nn.functional.normalize(torch.randn(12, 4))
    table = DenseTable(rows.clone())
    config = TrainConfig(model="elsa", sparsity=0.0, dim=4, precision="float32")
    batch = Batch(
        np.array([0, 1]),
        np.arange(12),
        np.array([0, 0, 0, 1, 1]),
        np.array([1, 4, 7, 0, 11]),
        np.zeros(12, np.float32),
    )
    A = rows.clone().requires_grad_()
    x = torch.zeros(2, 12)
    x[batch.user, batch.column] = 1
    y = x @ A @ A.T - x
    (torch.nn.functional.normalize(x) - torch.nn.functional.normalize(y)).square().sum().backward()
    assert A.grad is not None
    tangent = A.grad - (A.grad * rows).sum(1, keepdim=True) * rows
    expected = torch.nn.functional.normalize(rows - 0.01 * torch.nn.functional.normalize(tangent))
    ItemAutoencoder(table, {}, config).step(batch, 0.01, step=0, last=False, progress=0.0)
    torch.testing.assert_close(table.values.view(12, 4), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sparsity", [0.0, 0.75])
def test_it_learns_without_any_user_table(tmp_path: Path, sparsity: float) -> None:
    run = train(
        "synthetic:users=200,items=60,seed=3",
        tmp_path / "run",
        model="elsa",
        sparsity=sparsity,
        dim=16,
        epochs=30,
        threads=1,
        settings={"batch_users": 25, "lr": 0.3},
        progress=False,
    )
    assert run.users is None
    loaded = Run.load(tmp_path / "run")
    assert loaded.users is None
    result = evaluate(tmp_path / "run")
    assert result["users"] == "folded"
    assert result["recall@20"] == run.metrics["test_folded"]["recall@20"]
    assert result["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.1
