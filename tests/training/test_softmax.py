from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sparsedevice.sparse import _kernels
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


@pytest.mark.parametrize("t2", [None, 1.25])
@pytest.mark.parametrize("shape", [(1, 1), (3, 15), (70, 333), (5, 4096)])
def test_rows_in_single_precision_are_those_of_double(t2: float | None, shape: tuple[int, int]) -> None:
    """The processor's kernel against torch, the same bits with any number of threads."""
    generator = torch.Generator().manual_seed(shape[1])
    scores = torch.rand(shape, generator=generator) * 2 - 1
    taken = torch.rand(shape, generator=generator) < 0.1
    user, column = torch.nonzero(taken, as_tuple=True)
    log_inclusion = torch.log(torch.rand(shape[1], generator=generator) * 0.9 + 0.1)
    wanted = scores.double()
    settings = {"temperature": 0.1, "temperature2": t2}
    expected = softmax_loss_(wanted, user, column, log_inclusion.double(), **settings)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            own = scores.clone()
            found.append((own, softmax_loss_(own, user, column, log_inclusion, **settings)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found[0][0].double(), wanted, rtol=2e-5, atol=1e-7)


def test_a_score_that_is_not_a_number_shows_in_the_loss() -> None:
    scores = torch.zeros(2, 3)
    scores[1, 2] = torch.nan
    loss = softmax_loss_(
        scores, torch.tensor([0, 1]), torch.tensor([1, 2]), torch.zeros(3), temperature=0.1, temperature2=1.2
    )
    assert math.isnan(loss)


def test_arrays_that_do_not_fit_are_refused() -> None:
    scores, log_inclusion = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
    of_users, of_positives = np.zeros(2, np.float32), np.zeros(1, np.float32)

    def call(starts: list[int], column: int, inclusion: np.ndarray = log_inclusion) -> None:
        arrays = (scores, inclusion, np.array(starts), np.array([column]))
        _kernels.softmax_rows(*arrays, 0.1, 0.0, of_users, of_users.copy(), of_positives)

    call([0, 1, 1], 2)
    for starts, column in (([0, 1, 1], 3), ([0, 1, 1], -1), ([0, 2, 1], 0), ([1, 1, 1], 0), ([0, 1], 0)):
        with pytest.raises(ValueError, match="do not fit"):
            call(starts, column)
    with pytest.raises(ValueError, match="do not fit"):
        call([0, 1, 1], 2, log_inclusion[:2].copy())
