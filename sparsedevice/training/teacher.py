"""Distillation: a run that is already trained teaches another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.data import Split
from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.folding import folded_queries, inverse_norms
from sparsedevice.evaluation.ranking import Queries, table_queries
from sparsedevice.run import Run
from sparsedevice.training.batches import Batch
from sparsedevice.vocabulary import Vocabulary

# Items whose cosines with each other are compared in a step.
RELATED_ITEMS = 256


class Teacher:
    """What a run says of the users and items of a step: soft labels, and which items are alike.

    *Ranking* (Hinton et al., arXiv 1503.02531): for each user the Kullback-Leibler divergence of the
    teacher's and the student's softmax over the step's items, both of cosines over the temperature, an item
    counted 1/π (π its chance to be in the step).

    *Embedding* (relational distillation, Park et al., arXiv 1904.05068): the squared differences of both
    models' cosines between some of the step's items. Neither asks for the same width.

    Attributes:
        weight: share of the soft labels in the loss, 0 to 1.
    """

    def __init__(
        self, queries: Queries, items: scipy.sparse.csr_array, weight: float, temperature: float, seed: int
    ) -> None:
        """Take over a trained model, its rows in the student's order.

        Args:
            queries: from user rows to unit query vectors.
            items: item rows of length 1.
            weight: share of the soft labels in the loss.
            temperature: of both softmaxes.
            seed: of the choice of items whose cosines are compared.
        """
        self.weight = weight
        self._queries = queries
        self._items = items
        self._temperature = temperature
        self._seed = seed

    @classmethod
    def load(
        cls,
        path: str | Path,
        split: Split,
        histories: scipy.sparse.csr_array,
        *,
        weight: float,
        temperature: float,
        seed: int,
    ) -> Teacher:
        """Read a run folder.

        Args:
            path: the run folder.
            split: the student's data, all of whose users and items the teacher must know.
            histories: csr_array (n_users x n_items) by which a teacher without user rows knows its users.
            weight: see ``__init__``.
            temperature: see ``__init__``.
            seed: see ``__init__``.

        Raises:
            RunError: if there is no finished run.
            ConfigError: if the teacher does not know a user or an item.
        """
        run = Run.load(path)
        if run.network is not None:
            raise ConfigError(
                f"the teacher {path} scores by a network, and only cosines are taught; choose another model"
            )
        train = run.split.train
        of_items = _known(path, "item", split.train.item_ids, train.item_ids)
        items = scipy.sparse.csr_array(run.items[of_items])
        unit = items.copy()
        unit.data = unit.data * np.repeat(inverse_norms(items), np.diff(items.indptr))
        queries: Queries
        if run.users is None:
            weights = None if run.fold_in.weights is None else run.fold_in.weights[of_items]
            rule = type(run.fold_in)(weights, run.fold_in.matrix)
            queries = folded_queries(items, run.similarity, rule, histories)
        else:
            users = scipy.sparse.csr_array(
                run.users[_known(path, "user", split.train.user_ids, train.user_ids)]
            )
            users.data = users.data * np.repeat(inverse_norms(users), np.diff(users.indptr))
            queries = table_queries(users)
        return cls(queries, unit, weight, temperature, seed)

    def soft_labels(self, scores: Tensor, batch: Batch, rows: NDArray[np.int64]) -> Tensor:
        """Gradient of the ranking loss, each user's counted once.

        Args:
            scores: the student's cosines, float32[U, J].
            batch: whose items the columns are.
            rows: the users, int64[U].

        Returns:
            d loss / d (scores / temperature), float32[U, J].
        """
        offset = torch.from_numpy(batch.log_inclusion).to(scores.device)
        asked = torch.from_numpy(self._queries(rows)).to(scores.device)
        taught = torch.from_numpy(self._items[batch.items].toarray()).to(scores.device)
        target = (asked @ taught.T / self._temperature - offset).softmax(1)
        return (scores / self._temperature - offset).softmax(1).sub_(target)

    def mix_(self, gradient: Tensor, soft: Tensor, batch: Batch) -> None:
        """Blend ``soft`` into the gradient of a loss that counts each user's positives, in place."""
        count = torch.from_numpy(np.bincount(batch.user, minlength=len(batch.users))).to(gradient.device)
        gradient.mul_(1 - self.weight).add_(soft * count[:, None], alpha=self.weight)

    def related(self, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
        """Some of the step's items, and the teacher's cosines between them.

        Returns:
            columns of the batch's sample int64[m], ascending, and float32[m, m].
        """
        generator = np.random.default_rng([self._seed, 6, step])
        chosen = np.sort(generator.permutation(len(batch.items))[:RELATED_ITEMS])
        rows = torch.from_numpy(self._items[batch.items[chosen]].toarray())
        return torch.from_numpy(chosen), rows @ rows.T


def relation_gradient(rows: Tensor, cosines: Tensor, scale: float) -> Tensor:
    """Gradient of scale / m · ‖R Rᵀ - C‖² for unit rows R float32[m, dim] and cosines C float32[m, m]."""
    return (4 * scale / len(rows)) * ((rows @ rows.T - cosines.to(rows.device)) @ rows)


def _known(path: str | Path, what: str, asked: Vocabulary, taught: Vocabulary) -> NDArray[np.int32]:
    rows = taught.rows(asked.ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise ConfigError(
            f"the teacher {path} does not know {len(missing)} of {len(asked)} {what}s, "
            f"{asked.ids[missing[0]]!r} for instance; train it on the same data"
        )
    return rows
