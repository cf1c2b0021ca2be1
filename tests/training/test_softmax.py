from __future__ import annotations

import math

import pytest
import torch

from sparsedevice.training.softmax import softmax_loss_


def reference(scores, user, column, log_inclusion, tau, t2):
    """The loss as its formula reads, one positive after the other."""
    s = scores / tau
    loss = scores.new_zeros(())
    for u, c in zip(user.tolist(), column.tolist(), strict=True):
        own = set(column[user == u].tolist())
        rest = [j for j in range(scores.shape[1]) if j not in own]
        z = sum(torch.exp(s[u, j] - log_inclusion[j]) for j in rest)
        loss = loss + (
            -s[u, c] + torch.log(torch.exp(s[u, c]) + z) if t2 is None else -s[u, c] + t2 * torch.log(z)
        )
    return loss


@pytest.mark.parametrize("t2", [None, 1.2])
def test_loss_and_gradient_agree_with_autograd_of_the_formula(t2: float | None) -> None:
    torch.manual_seed(0)
    scores = (torch.rand(4, 7, dtype=torch.float64) * 2 - 1).requires_grad_()
    user = torch.tensor([0, 0, 1, 3, 3, 3])
    column = torch.tensor([1, 4, 2, 0, 5, 6])
    log_inclusion = torch.log(torch.rand(7, dtype=torch.float64) * 0.9 + 0.1)
    expected = reference(scores, user, column, log_inclusion, 0.2, t2)
    expected.backward()
    work = scores.detach().clone()
    loss = softmax_loss_(work, user, column, log_inclusion, temperature=0.2, temperature2=t2)
    assert loss == pytest.approx(float(expected.detach()), rel=1e-9)
    # The function leaves the temperature's factor to the optimiser, which does not see scale.
    torch.testing.assert_close(work / 0.2, scores.grad, rtol=1e-8, atol=1e-10)


def test_large_scores_stay_finite() -> None:
    scores = torch.tensor([[400.0, -400.0, 390.0]])
    loss = softmax_loss_(scores, torch.tensor([0]), torch.tensor([1]), torch.zeros(3), temperature=1.0)
    assert math.isfinite(loss)
    assert loss == pytest.approx(800, rel=1e-3)
    assert torch.isfinite(scores).all()
