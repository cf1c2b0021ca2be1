"""What the learners in plain torch share: batches of whole users, and this project's losses by autograd.

Loss, users a step, temperature and number of passes are what this project's rules choose for the data (see
``sparsedevice.training.config``), written anew: where users share many items the sampled softmax, elsewhere
its bilateral form, both of cosines over a temperature, with all positives of a user and a shared sample of
the catalogue, each item weighted by one over its chance of being in the sample. Dense tables,
``torch.optim.Adam``, a learning rate that falls along a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.nn import functional
from watch import Watch

NEGATIVES = 2048


class Settings(NamedTuple):
    """What follows from the data.

    Attributes:
        users: in a step.
        epochs: usual number of passes.
        temperature: divides cosines.
        temperature2: of the bilateral softmax, its ratio tau1 / tau2; None for the plain one.
    """

    users: int
    epochs: int
    temperature: float
    temperature2: float | None


def settings_for(matrix: scipy.sparse.csr_array) -> Settings:
    """The rules of ``TrainConfig.resolve`` for matrix factorisation with dense tables."""
    n_users, n_items = matrix.shape
    epochs = int(max(20, min(200, 40_000_000 / matrix.nnz)))
    users, *temperatures = (256, 0.15, None) if matrix.nnz / (n_users * n_items) > 0.01 else (1024, 0.1, 1.25)
    return Settings(max(1, min(users, n_users // 8)), epochs, *temperatures)


def loss_of(cosines: Tensor, positive: Tensor, log_pi: Tensor, settings: Settings) -> Tensor:
    """Mean loss of the positives.

    Args:
        cosines: float32[U, J].
        positive: whether the user has chosen the item, bool[U, J].
        log_pi: log of each item's chance of being in the sample, float32[J].
        settings: the temperatures.
    """
    scores = cosines / settings.temperature
    # A positive competes with what the user has not chosen, not with the other positives.
    rest = (scores - log_pi).masked_fill(positive, -torch.inf).logsumexp(1)
    user, column = positive.nonzero(as_tuple=True)
    chosen = scores[user, column]
    if settings.temperature2 is not None:
        return (settings.temperature2 * rest[user] - chosen).mean()
    return (torch.logaddexp(chosen, rest[user]) - chosen).mean()


def fit(
    matrix: scipy.sparse.csr_array,
    parameters: list[Tensor],
    vectors: Callable[[], tuple[Tensor, Tensor]],
    watch: Watch,
    *,
    epochs: int,
    lr: float,
) -> None:
    """Train; ``vectors`` computes users and items, not of unit length, from the parameters."""
    torch.set_num_threads(watch.threads)
    optimiser = torch.optim.Adam(parameters, lr=lr)
    rng = np.random.default_rng(watch.seed)
    settings = settings_for(matrix)
    steps, done = epochs * -(-matrix.shape[0] // settings.users), 0
    for epoch in range(1, epochs + 1):
        for users, items, positive, log_pi in batches(matrix, settings.users, rng):
            optimiser.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * done / steps))
            all_users, all_items = vectors()
            cosines = functional.normalize(all_users[users]) @ functional.normalize(all_items[items]).T
            loss = loss_of(cosines, positive, log_pi, settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += 1
        if epoch % watch.every(epochs) == 0 or epoch == epochs:
            with torch.no_grad():
                found = [functional.normalize(table).numpy() for table in vectors()]
            watch.look(epoch, *found, epoch * matrix.nnz)


def batches(
    matrix: scipy.sparse.csr_array, users_a_step: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Users, the sampled items, which of these each user has chosen, and the log chance of each item."""
    n_users, n_items = matrix.shape
    count = np.bincount(matrix.indices, minlength=n_items)
    drawn = min(users_a_step / n_users, 1 - 1e-9)
    missed = count * np.log1p(-drawn) + min(NEGATIVES, n_items) * np.log1p(-1 / n_items)
    log_pi = torch.from_numpy(np.log(-np.expm1(missed)).astype(np.float32))
    order = rng.permutation(n_users)
    for start in range(0, n_users, users_a_step):
        users = order[start : start + users_a_step]
        rows = matrix[users]
        items = np.union1d(rows.indices, rng.integers(0, n_items, min(NEGATIVES, n_items)))
        positive = torch.from_numpy(rows[:, items].toarray() > 0)
        if positive.any():
            yield torch.from_numpy(users), torch.from_numpy(items), positive, log_pi[items]
