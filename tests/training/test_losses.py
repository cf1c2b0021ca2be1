from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.training import TrainConfig, train
from sparsedevice.training.config import LOSSES
from sparsedevice.training.losses import BPR_ITEMS, Loss, bpr_loss_, ccl_loss_

USER = torch.tensor([0, 0, 1, 3, 3, 3])
COLUMN = torch.tensor([1, 4, 2, 0, 5, 6])


def cosines() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(4, 7, dtype=torch.float64) * 2 - 1


def own(user: int) -> set[int]:
    return set(COLUMN[user == USER].tolist())


def test_bpr_agrees_with_autograd_of_the_formula() -> None:
    scores = cosines().requires_grad_()
    drawn = torch.tensor([[3, 4, 3, 1, 2], [0, 0, 6, 2, 5], [1, 1, 1, 1, 1], [3, 3, 0, 5, 1]])
    expected = scores.new_zeros(())
    for u, c in zip(USER.tolist(), COLUMN.tolist(), strict=True):
        free = [j for j in drawn[u].tolist() if j not in own(u)]
        pairs = [-torch.nn.functional.logsigmoid((scores[u, c] - scores[u, j]) / 0.3) for j in free]
        expected = expected + torch.stack(pairs).mean()
    expected.backward()
    work = scores.detach().clone()
    loss = bpr_loss_(work, USER, COLUMN, drawn, temperature=0.3)
    assert loss == pytest.approx(float(expected.detach()))
    torch.testing.assert_close(work / 0.3, scores.grad)


def test_ccl_agrees_with_autograd_of_the_formula() -> None:
    scores = cosines().requires_grad_()
    pi = torch.rand(7, dtype=torch.float64) * 0.9 + 0.1
    expected = scores.new_zeros(())
    for u, c in zip(USER.tolist(), COLUMN.tolist(), strict=True):
        free = [j for j in range(7) if j not in own(u)]
        hinge = sum(torch.relu(scores[u, j] - 0.1) / pi[j] for j in free)
        expected = expected + 1 - scores[u, c] + 5 * hinge / sum(1 / pi[j] for j in free)
    expected.backward()
    work = scores.detach().clone()
    loss = ccl_loss_(work, USER, COLUMN, pi.log(), margin=0.1, weight=5)
    assert loss == pytest.approx(float(expected.detach()))
    torch.testing.assert_close(work, scores.grad)


def test_a_user_who_chose_every_item_of_the_sample_stays_finite() -> None:
    user, column = torch.zeros(3, dtype=torch.int64), torch.arange(3)
    for name in LOSSES:
        loss = Loss(name, 0.2, 1.1, 0.1, 5.0, 0)
        scores = torch.tensor([[0.5, -0.2, 1.0]])
        assert np.isfinite(loss(scores, user, column, torch.full((3,), -0.1), step=0))
        assert torch.isfinite(scores).all()


def test_bpr_draws_items_uniformly_from_the_catalogue() -> None:
    """Items that are rarely in the sample are drawn the more often when they are."""
    pi = torch.tensor([0.1, 0.9])
    loss = Loss("bpr", 1.0, None, None, None, 0)
    drawn = torch.zeros(2)
    for step in range(200):
        scores = torch.zeros(1, 3)
        log_inclusion = torch.cat([pi, torch.ones(1)]).log()
        loss(scores, torch.tensor([0]), torch.tensor([2]), log_inclusion, step=step)
        drawn += scores[0, :2]
    assert float(drawn[0] / drawn[1]) == pytest.approx(9, rel=0.1)
    assert BPR_ITEMS * 200 > 10_000


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_learns_more_than_popularity(name: str, tmp_path) -> None:
    world = "synthetic:users=120,items=60,seed=3"
    settings = {"loss": name, "batch_users": 20, "negatives": 16, "validation_every": 0}
    run = train(
        world, tmp_path / "run", dim=16, sparsity=0.75, epochs=30, threads=1, progress=False,
        settings=settings,
    )  # fmt: skip
    assert run.metrics["test"]["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.05


def test_settings_of_another_loss_are_refused() -> None:
    for bad, message in (
        ({"temperature2": 1.1}, "temperature2 belongs to loss 'bsl'"),
        ({"loss": "bpr", "margin": 0.2}, "margin belongs to loss 'ccl'"),
        ({"loss": "hinge"}, "choose one of softmax, bsl, bpr, ccl"),
        ({"loss": "ccl", "margin": 1.5}, "not between -1 and 1"),
        ({"loss": "bpr", "model": "elsa"}, "a loss of its own"),
    ):
        with pytest.raises(ConfigError, match=message):
            TrainConfig.from_json(bad)
    assert TrainConfig(loss="bsl").resolve(10, 10, 10).temperature2 == 1.1


def test_the_temperature_by_rule_follows_the_active_entries():
    few_shared, many_shared = (30_000, 40_000, 800_000), (6_000, 3_000, 700_000)

    def temperature(size: tuple[int, int, int], **settings: Any) -> float:
        found = TrainConfig(**{"dim": 128, **settings}).resolve(*size).temperature
        assert found is not None
        return found

    assert temperature(few_shared, sparsity=0.0) == temperature(few_shared, method="magnitude") == 0.1
    falling = [temperature(few_shared, sparsity=1 - active / 128) for active in (6, 12, 25, 64)]
    assert falling == pytest.approx([0.16, 0.13, 0.1144, 0.1056], abs=1e-4)
    assert temperature(many_shared) == temperature(many_shared, sparsity=0.0) == 0.15
    assert temperature(few_shared, temperature=0.2) == 0.2
