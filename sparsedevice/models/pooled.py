"""Pooled tower: one table of items, a user who is the weighted sum of her history, and the softmax losses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sparsedevice.models.item_model import ItemModel
from sparsedevice.models.lessons import relation_lesson
from sparsedevice.models.rows import BatchTensors
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher


class PooledTower(ItemModel):
    """A user is the pooled history, after the tower of YoutubeDNN (Covington et al., RecSys 2016).

    The query of a history H is q = Σ_{h in H} w_h v_h, its weights w_h = (count_h / smallest count)^-power
    fixed before training, and the score of an item is the cosine of q and its row. With unit rows v the loss
    sees

        q·v_j / |q|          for an item j outside the history,
        (q·v_p - w_p) / |q|  for an item p in it,

    the second being what the rest of the history says of p (w_p v_p·v_p is p's word about itself): each item
    is asked for without being in the history, all of them at the cost of one product users x items. The query
    is the one that a device computes; nothing is fitted afterwards.

    A user with one item has nothing to be asked with: her score is 0, and no gradient comes of it but the
    negatives'.

    Attributes:
        tables: "items".
        movers: what moves the shape, where the table is sparse.
    """

    similarity = "cosine"

    def __init__(
        self,
        items: Table,
        movers: dict[str, Mover],
        config: TrainConfig,
        counts: NDArray[np.int64],
        *,
        teacher: Teacher | None = None,
    ) -> None:
        """Fix the weights.

        Args:
            items: the table.
            movers: what moves its shape.
            config: resolved settings.
            counts: how many users have chosen each item, int64[n_items].
            teacher: a model to learn from, or None.
        """
        assert config.history_power is not None
        super().__init__(items, movers, config)
        self._loss = Loss.of(config)
        self._teacher = teacher
        chosen = np.maximum(counts, 1)
        self._weights = ((chosen / chosen.min()) ** -config.history_power).astype(np.float32)

    def fold_in(self) -> FoldIn:
        """The rule that training used."""
        return FoldIn(None if (self._weights == 1).all() else self._weights)

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch's sample of items; see ``Model.step``."""
        items = self.tables["items"]
        device = items.device
        _, rows, user, column, log_inclusion = BatchTensors.of(batch, device)
        watched = self.watched({"items": rows}, last=last, progress=progress)
        blocks = self.item_blocks(rows)
        weight = torch.from_numpy(self._weights[batch.items]).to(device)[column]
        history = torch.zeros(len(batch.users), rows.numel(), device=device)
        history[user, column] = weight
        query = self.pool(history, blocks)
        length = query.norm(dim=1, keepdim=True).clamp_(min=1e-6)
        query /= length
        scores = self.products(query, blocks)
        own = weight / length[user, 0]
        # An item's share of its own query is a constant for the direction of both; what it adds to the
        # length is seen through ``slope`` below.
        scores[user, column] -= own
        value = scores.clone()
        teacher, lesson = self._teacher, None
        soft = None if teacher is None else teacher.soft_labels(scores, batch, batch.users)
        loss = self._loss(scores, user, column, log_inclusion, step=step)
        if teacher is not None and soft is not None:
            teacher.mix_(scores, soft, batch)
            lesson = relation_lesson(teacher, items, rows, batch, step)
        slope = (scores * value).sum(1, keepdim=True)
        query_gradient = self.pool(scores, blocks).sub_(slope * query).div_(length)
        # Rows meet the loss twice: as outputs, and as parts of the query.
        left = torch.cat([scores, history])
        right = torch.cat([query, query_gradient])
        self.update_items(blocks, left, right, lr, step=step, watched=watched, lesson=lesson)
        return loss
