"""Item autoencoder: one table of items, and a user who is the sum of her history's rows."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.models.item_model import ItemModel
from sparsedevice.models.lessons import relation_lesson
from sparsedevice.models.rows import BatchTensors
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher


class ItemAutoencoder(ItemModel):
    """ELSA (Vančura et al., RecSys 2022) with sparse rows and sampled outputs.

    Sparse rows are after Compressed ELSA (arXiv 2602.09935).

    With unit item rows A and a user's history x (ones at her items) the prediction is y = x A Aᵀ - x, and the
    loss is the squared distance of x and y, each scaled to length 1. Only a sample of the outputs is
    computed, the items of the batch's histories and uniform negatives. The square of an output outside x
    counts 1/π (π its chance to be in the sample), so that the length of y over the whole catalogue is
    estimated from the sample; the papers compute all outputs.

    A device needs no user table: the query of a history is the plain sum of its rows.

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
        *,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__(items, movers, config)
        self._teacher = teacher

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch's sample of items; see ``Model.step``."""
        items = self.tables["items"]
        device = items.device
        _, rows, user, column, log_inclusion = BatchTensors.of(batch, device)
        watched = self.watched({"items": rows}, last=last, progress=progress)
        blocks = self.item_blocks(rows)
        history = torch.zeros(len(batch.users), rows.numel(), device=device)
        history[user, column] = 1.0
        query = self.pool(history, blocks)
        output = self.products(query, blocks)
        teacher, lesson = self._teacher, None
        length = query.norm(dim=1, keepdim=True).clamp_(min=1e-6)
        cosine = None if teacher is None else output / length
        output -= history
        weight = log_inclusion.neg().exp_()
        loss = autoencoder_loss_(output, history, weight)
        query_gradient = torch.zeros_like(query)
        if teacher is not None and cosine is not None:
            # Of both losses each user counts once here, and the soft labels are of the query's direction.
            soft = teacher.soft_labels(cosine, batch, batch.users).mul_(teacher.weight / length)
            query_gradient -= (soft * cosine).sum(1, keepdim=True) * query / length
            output.mul_(1 - teacher.weight).add_(soft)
            lesson = relation_lesson(teacher, items, rows, batch, step)
        query_gradient += self.pool(output, blocks)
        # Rows meet the loss twice: as outputs, and as parts of the query.
        left = torch.cat([output, history])
        right = torch.cat([query, query_gradient])
        self.update_items(blocks, left, right, lr, step=step, watched=watched, lesson=lesson)
        return loss


def autoencoder_loss_(output: Tensor, history: Tensor, weight: Tensor) -> float:
    """Σ over users of ‖x/‖x‖ - y/‖y‖‖² = 2 - 2 x·y / (‖x‖ ‖y‖); ``output`` is overwritten by the gradient.

    Args:
        output: y, float32[U, J].
        history: x, zeros and ones, float32[U, J]; every user has an item.
        weight: float32[J], what the square of an output outside the history counts; inside it counts 1.

    Returns:
        The loss summed over users, each user's share counted as often as she has items, so that the mean over
        interactions that training reports is the mean over users weighted by their activity.
    """
    weights = torch.where(history > 0, 1.0, weight)
    length = history.sum(1)
    inner = (output * history).sum(1)
    norm = (output * output * weights).sum(1).sqrt_().clamp_(min=1e-6)
    cosine = inner / (norm * length.sqrt())
    loss = float(((2 - 2 * cosine) * length).sum())
    output *= weights
    output *= (2 * cosine / (norm * norm))[:, None]
    output -= history * (2 / (norm * length.sqrt()))[:, None]
    return loss
