"""Batches of whole users, and the items that a step looks at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray


class Batch(NamedTuple):
    """One step's users, their positives, and a sample of the catalogue that contains these.

    Attributes:
        users: rows of the users table, int64[U], ascending.
        items: rows of the items table, int64[J], ascending.
        user: index into ``users`` of each positive, int64[P].
        column: index into ``items`` of each positive, int64[P].
        log_inclusion: log of the probability that an item is in ``items``, float32[J].
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    user: NDArray[np.int64]
    column: NDArray[np.int64]
    log_inclusion: NDArray[np.float32]


class UserBatches:
    """Users in random order, a fixed number a step, with all positives of each and shared random negatives.

    Every random draw is a function of the seed and of the epoch or step alone, so that training can stop and
    continue anywhere without storing a generator's state.

    An item is in the sample if a user of the batch has chosen it or if it was drawn as a negative. With users
    drawn without replacement and negatives uniformly, an item with count c is in it with probability
    π = 1 - (1 - U/n_users)^c · (1 - 1/n_items)^negatives, the first factor taken as if the c users were drawn
    independently.
    """

    def __init__(self, matrix: scipy.sparse.csr_array, batch_users: int, negatives: int, seed: int) -> None:
        """Prepare the counts.

        Args:
            matrix: training interactions, csr_array (n_users x n_items), no stored zeros.
            batch_users: users a step.
            negatives: negatives a step, drawn with replacement.
            seed: of the order and the negatives.
        """
        self._matrix = matrix
        self._indptr = matrix.indptr.astype(np.int64)
        self._indices = matrix.indices
        self._n_items = matrix.shape[1]
        self._active_users = np.flatnonzero(np.diff(self._indptr) > 0)
        self._batch_users = min(batch_users, len(self._active_users))
        self._negatives = negatives
        self._seed = seed
        count = np.bincount(self._indices, minlength=self._n_items)
        drawn = min(self._batch_users / len(self._active_users), 1 - 1e-9)
        missed = count * np.log1p(-drawn) + negatives * np.log1p(-1 / max(self._n_items, 2))
        self._log_inclusion = np.log(-np.expm1(np.minimum(missed, -1e-12))).astype(np.float32)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every user with an interaction occurs once."""
        return -(-len(self._active_users) // self._batch_users)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order of the users in an epoch, int64[n]."""
        return np.random.default_rng([self._seed, 1, epoch]).permutation(self._active_users)

    def batch(self, order: NDArray[np.int64], epoch: int, step: int) -> Batch:
        """The batch number ``step`` of an epoch whose user order is ``order``."""
        users = np.sort(order[step * self._batch_users : (step + 1) * self._batch_users])
        start, length = self._indptr[users], np.diff(self._indptr)[users]
        first = np.cumsum(length) - length
        user = np.repeat(np.arange(len(users)), length)
        positive = self._indices[np.arange(len(user)) + (start - first)[user]]
        generator = np.random.default_rng([self._seed, 2, epoch, step])
        chosen = np.zeros(self._n_items, dtype=bool)
        chosen[positive] = True
        chosen[generator.integers(0, self._n_items, self._negatives)] = True
        items = np.flatnonzero(chosen)
        place = np.cumsum(chosen) - 1
        return Batch(users, items, user, place[positive], self._log_inclusion[items])
