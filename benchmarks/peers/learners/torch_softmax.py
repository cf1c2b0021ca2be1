"""What the learners in plain torch share: batches of whole users, and the sampled softmax by autograd.

The loss is the one that this project trains with (see ``sparsedevice.training.softmax``), written anew:
cosines over a temperature, all positives of a user, and a shared sample of the catalogue, each item
weighted by one over its chance of being in the sample. Dense tables, ``torch.optim.Adam``, a learning rate
that falls along a cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.nn import functional
from watch import Watch

USERS, NEGATIVES = 256, 2048


def temperature(matrix: scipy.sparse.csr_array) -> float:
    """Higher where users share many items; the values that this project uses."""
    return 0.15 if matrix.nnz / (matrix.shape[0] * matrix.shape[1]) > 0.01 else 0.1


def fit(
    matrix: scipy.sparse.csr_array,
    parameters: list[Tensor],
    vectors: Callable[[], tuple[Tensor, Tensor]],
    watch: Watch,
    *,
    epochs: int,
    lr: float,
    every: int,
) -> None:
    """Train; ``vectors`` computes users and items, not of unit length, from the parameters."""
    torch.set_num_threads(watch.threads)
    optimiser = torch.optim.Adam(parameters, lr=lr)
    rng = np.random.default_rng(watch.seed)
    tau = temperature(matrix)
    steps, done = epochs * -(-matrix.shape[0] // USERS), 0
    for epoch in range(1, epochs + 1):
        for users, items, positive, log_pi in batches(matrix, rng):
            optimiser.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * done / steps))
            all_users, all_items = vectors()
            scores = functional.normalize(all_users[users]) @ functional.normalize(all_items[items]).T / tau
            # A positive competes with what the user has not chosen, not with the other positives.
            rest = (scores - log_pi).masked_fill(positive, -torch.inf).logsumexp(1)
            user, column = positive.nonzero(as_tuple=True)
            chosen = scores[user, column]
            loss = (torch.logaddexp(chosen, rest[user]) - chosen).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            done += 1
        if epoch % every == 0 or epoch == epochs:
            with torch.no_grad():
                found = [functional.normalize(table).numpy() for table in vectors()]
            watch.look(epoch, *found, epoch * matrix.nnz)


def batches(
    matrix: scipy.sparse.csr_array, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Users, the sampled items, which of these each user has chosen, and the log chance of each item."""
    n_users, n_items = matrix.shape
    count = np.bincount(matrix.indices, minlength=n_items)
    drawn = min(USERS / n_users, 1 - 1e-9)
    missed = count * np.log1p(-drawn) + min(NEGATIVES, n_items) * np.log1p(-1 / n_items)
    log_pi = torch.from_numpy(np.log(-np.expm1(missed)).astype(np.float32))
    order = rng.permutation(n_users)
    for start in range(0, n_users, USERS):
        users = order[start : start + USERS]
        rows = matrix[users]
        items = np.union1d(rows.indices, rng.integers(0, n_items, min(NEGATIVES, n_items)))
        positive = torch.from_numpy(rows[:, items].toarray() > 0)
        if positive.any():
            yield torch.from_numpy(users), torch.from_numpy(items), positive, log_pi[items]
