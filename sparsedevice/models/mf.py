"""Matrix factorisation: the score of a user and an item is the cosine of their rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sparsedevice.models.lessons import add_lesson_, relation_lesson
from sparsedevice.models.rows import ITEM_PROJECTION, BatchTensors, PlainRows, half_product
from sparsedevice.sparse.mover import Mover
from sparsedevice.sparse.products import products_of
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher
from sparsedevice.training.wta_crs import choose_terms


class MatrixFactorization(PlainRows):
    """Two tables of unit rows and a loss over a sampled catalogue, with hand-written gradients.

    A step costs three matrix products, users x items of the sample: scores, the users' gradient and the
    items' gradient, by active entries where both tables are sparse (``sparsedevice.sparse.products``).
    Gradients of items are dense in blocks, so the dense memory of a step is bounded whatever the batch.

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
        self._room = torch.empty(0)

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch; see ``Model.step``. The loss is the positives' sum."""
        users, items = self.tables["users"], self.tables["items"]
        rows = BatchTensors.of(batch, users.device)
        watched = self.watched({"users": rows.users, "items": rows.items}, last=last, progress=progress)
        user_active = users.active(rows.users)
        blocks = self.item_blocks(rows.items)
        products = products_of(users, user_active, items, blocks, self._product)
        scores = self._empty_scores(len(batch.users), len(batch.items), users.device)
        products.scores_(scores)
        teacher = self._teacher
        soft = None if teacher is None else teacher.soft_labels(scores, batch, batch.users)
        loss = self._loss(scores, rows.user, rows.column, rows.log_inclusion, step=step)
        lesson = None
        if teacher is not None and soft is not None:
            teacher.mix_(scores, soft, batch)
            lesson = relation_lesson(teacher, items, rows.items, batch, step)
        users_slope = items_slope = scores
        of_users = of_items = products
        if self._backward_share < 1:
            sample = self._sample(scores, step)
            users_slope = scores[:, sample.items] * sample.item_weight
            items_slope = scores[sample.users] * sample.user_weight[:, None]
            drawn = self.item_blocks(rows.items[sample.items])
            of_users = products_of(users, user_active, items, drawn, self._product)
            drawn_users = users.active(rows.users[sample.users])
            of_items = products_of(users, drawn_users, items, blocks, self._product)
        user_gradient = of_users.user_gradient(users_slope)
        for start, active in blocks:
            item_gradient = of_items.item_gradient(items_slope, start, start + active.rows.numel())
            add_lesson_(item_gradient, lesson, start)
            project = step % ITEM_PROJECTION == 0
            self.update("items", active, item_gradient, lr, watched=watched, project=project)
        self.update("users", user_active, user_gradient, lr, watched=watched, project=True)
        return loss

    def _empty_scores(self, n_users: int, n_items: int, device: torch.device) -> Tensor:
        """Room for the scores of a step, the same memory in each: fresh pages cost as much as a product."""
        size = n_users * n_items
        if self._room.numel() < size:
            self._room = torch.empty(0)  # gone before there is more
            self._room = torch.empty(size, device=device)
        return self._room[:size].view(n_users, n_items)

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
