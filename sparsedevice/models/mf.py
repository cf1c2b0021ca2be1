"""Matrix factorisation: the score of a user and an item is the cosine of their rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedevice.models.lessons import add_lesson_, relation_lesson
from sparsedevice.models.rows import ITEM_PROJECTION, BatchTensors, PlainRows, half_product
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher
from sparsedevice.training.wta_crs import choose_terms


class MatrixFactorization(PlainRows):
    """Two tables of unit rows and a loss over a sampled catalogue, with hand-written gradients.

    A step costs three matrix products, users x items of the sample: scores, the users' gradient and the
    items' gradient. The items are expanded in blocks, so the dense memory of a step is bounded whatever the
    batch.

    Attributes:
        tables: "users" and "items".
        movers: what moves the shape, for the sparse ones of the tables.
    """

    similarity = "cosine"

    def __init__(
        self,
        users: Table,
        items: Table,
        movers: dict[str, Mover],
        config: TrainConfig,
        *,
        backward_share: float = 1.0,
        teacher: Teacher | None = None,
    ) -> None:
        """Take the tables.

        Args:
            users: rows of length 1.
            items: rows of length 1.
            movers: what moves the shape, by table.
            config: resolved settings.
            backward_share: share of the terms of the gradients' products that are computed (WTA-CRS).
            teacher: a model to learn from, or None.
        """
        self.tables: dict[str, Table] = {"users": users, "items": items}
        self.movers = movers
        self._loss = Loss.of(config)
        self._backward_share = backward_share
        self._teacher = teacher
        self._seed = config.seed
        self._product = half_product if config.precision == "bfloat16" else torch.matmul

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch; see ``Model.step``. The loss is the positives' sum."""
        users, items = self.tables["users"], self.tables["items"]
        rows = BatchTensors.of(batch, users.device)
        watched = self.watched({"users": rows.users, "items": rows.items}, last=last, progress=progress)
        user_active = users.active(rows.users)
        x = users.expand(user_active)
        blocks = self.item_blocks(rows.items)
        scores = torch.empty(x.shape[0], rows.items.numel(), device=users.device)
        for start, active in blocks:
            scores[:, start : start + active.rows.numel()] = self._product(x, items.expand(active).T)
        teacher = self._teacher
        soft = None if teacher is None else teacher.soft_labels(scores, batch, batch.users)
        loss = self._loss(scores, rows.user, rows.column, rows.log_inclusion, step=step)
        lesson = None
        if teacher is not None and soft is not None:
            teacher.mix_(scores, soft, batch)
            lesson = relation_lesson(teacher, items, rows.items, batch, step)
        user_gradient = torch.zeros_like(x)
        sample = self._sample(scores, step) if self._backward_share < 1 else None
        if sample is not None:
            for start, active in self.item_blocks(rows.items[sample.items]):
                part = slice(start, start + active.rows.numel())
                left = scores[:, sample.items[part]] * sample.item_weight[part]
                user_gradient += self._product(left, items.expand(active))
            scores = scores[sample.users] * sample.user_weight[:, None]
        users_of_terms = x if sample is None else x[sample.users]
        for start, active in blocks:
            block_scores = scores[:, start : start + active.rows.numel()]
            if sample is None:
                user_gradient += self._product(block_scores, items.expand(active))
            item_gradient = self._product(block_scores.T, users_of_terms)
            add_lesson_(item_gradient, lesson, start)
            project = step % ITEM_PROJECTION == 0
            self.update("items", active, item_gradient, lr, watched=watched, project=project)
        self.update("users", user_active, user_gradient, lr, watched=watched, project=True)
        return loss

    def _sample(self, gradient: Tensor, step: int) -> _Sample:
        """Choose the terms of both gradients; rows have length 1, so the scores' gradient alone ranks them.

        The users' gradient is a sum over items, the items' gradient one over the batch's users.
        """
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        items, users = (
            choose_terms(
                gradient.norm(dim=dim), math.ceil(self._backward_share * gradient.shape[1 - dim]), generator
            )
            for dim in (0, 1)
        )
        return _Sample(*items, *users)


class _Sample(NamedTuple):
    """The terms of a step's gradients that are computed: columns and rows of the scores, with weights."""

    items: Tensor
    item_weight: Tensor
    users: Tensor
    user_weight: Tensor
