from __future__ import annotations

import numpy as np
import torch

from sparsedevice.models.mf import MatrixFactorization
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.training import TrainConfig
from sparsedevice.training.batches import Batch
from sparsedevice.training.wta_crs import choose_terms


def test_the_estimate_is_the_product_on_average() -> None:
    """Every entry's mean over many draws is within what its own spread allows, 4.5 standard errors."""
    torch.manual_seed(0)
    left = torch.randn(5, 40, dtype=torch.float64) * torch.linspace(0.05, 2, 40) ** 3
    right = torch.randn(40, 6, dtype=torch.float64)
    exact = left @ right
    importance = left.norm(dim=0) * right.norm(dim=1)
    n = 4000
    draws = []
    for seed in range(n):
        index, weight = choose_terms(importance, 12, torch.Generator().manual_seed(seed))
        assert index.numel() <= 12
        draws.append((left[:, index] * weight) @ right[index])
    found = torch.stack(draws)
    spread = found.std(0)
    assert (spread > 0).all()
    z = (found.mean(0) - exact) / (spread / n**0.5)
    assert z.abs().max() < 4.5
    assert 0.7 < z.std() < 1.3
    # Winners make it better than drawing all terms by their chance.
    chance = importance / importance.sum()
    drawn = torch.multinomial(chance, 12 * 500, replacement=True).view(500, 12)
    plain = torch.stack([(left[:, i] / (12 * chance[i])) @ right[i] for i in drawn])
    assert found.var(0).sum() < plain.var(0).sum()


def test_few_terms_are_all_taken() -> None:
    index, weight = choose_terms(torch.tensor([1.0, 0.0, 2.0]), 3, torch.Generator())
    assert sorted(index.tolist()) == [0, 1, 2]
    assert (weight == 1).all()
    index, weight = choose_terms(torch.tensor([1.0, 0.0, 2.0, 0.0, 0.0]), 3, torch.Generator())
    assert {0, 2} <= set(index.tolist())
    assert torch.isfinite(weight).all()
    index, _ = choose_terms(torch.zeros(5), 2, torch.Generator())
    assert index.numel() == 5


def test_both_gradients_of_a_step_are_the_full_ones_on_average(monkeypatch) -> None:
    torch.manual_seed(0)
    config = TrainConfig(loss="softmax", sparsity=0.0, dim=4, temperature=0.3, precision="float32")
    users, items = (torch.nn.functional.normalize(torch.randn(n, 4)) for n in (6, 14))
    user, column = np.array([0, 0, 1, 2, 3, 4, 5]), np.array([3, 9, 1, 13, 7, 7, 0])
    batch = Batch(np.arange(6), np.arange(14), user, column, np.zeros(14, np.float32))
    seen: dict[int, torch.Tensor] = {}

    def note(table, _mover, active, gradient, _lr, **_options) -> None:
        rows = seen.setdefault(table.n_rows, torch.zeros(table.n_rows, 4))
        rows[active.rows] += gradient

    monkeypatch.setattr("sparsedevice.models.rows.update_table", note)

    def gradients(share: float, step: int) -> torch.Tensor:
        seen.clear()
        model = MatrixFactorization(DenseTable(users), DenseTable(items), {}, config, backward_share=share)
        model.step(batch, 0.1, step=step, last=False, progress=0.0)
        return torch.cat([seen[6], seen[14]])

    exact = gradients(1.0, 0)
    n = 1500
    found = torch.stack([gradients(0.5, step) for step in range(n)]).double()
    assert (found[0] != exact).any()
    z = (found.mean(0) - exact) / (found.std(0) / n**0.5 + 1e-7)
    assert z.abs().max() < 4.5
