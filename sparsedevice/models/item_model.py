"""What the models have in common that learn items alone: a user is made of her history's rows."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.models.lessons import Lesson, add_lesson_
from sparsedevice.models.rows import ITEM_PROJECTION, PlainRows, half_product
from sparsedevice.sparse.mover import Mover
from sparsedevice.sparse.products import Blocks
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.optimizer import Table


class ItemModel(PlainRows):
    """A model whose only table is that of the items.

    Attributes:
        tables: "items".
        movers: what moves the shape, where the table is sparse.
    """

    def __init__(self, items: Table, movers: dict[str, Mover], config: TrainConfig) -> None:
        self.tables: dict[str, Table] = {"items": items}
        self.movers = movers
        self._product = half_product if config.precision == "bfloat16" else torch.matmul

    def pool(self, weights: Tensor, blocks: Blocks) -> Tensor:
        """Weights float32[U, J] times the rows: float32[U, dim]."""
        items = self.tables["items"]
        total = torch.zeros(weights.shape[0], items.dim, device=items.device)
        for start, active in blocks:
            total += self._product(weights[:, start : start + active.rows.numel()], items.expand(active))
        return total

    def products(self, queries: Tensor, blocks: Blocks) -> Tensor:
        """Queries float32[U, dim] times the rows: float32[U, J]."""
        items = self.tables["items"]
        n_rows = sum(active.rows.numel() for _, active in blocks)
        found = torch.empty(queries.shape[0], n_rows, device=items.device)
        for start, active in blocks:
            found[:, start : start + active.rows.numel()] = self._product(queries, items.expand(active).T)
        return found

    def update_items(
        self,
        blocks: Blocks,
        left: Tensor,
        right: Tensor,
        lr: float,
        *,
        step: int,
        watched: set[str],
        lesson: Lesson | None = None,
    ) -> None:
        """A step on the rows, whose gradient is ``left.T @ right``: float32[n, J] and float32[n, dim]."""
        project = step % ITEM_PROJECTION == 0
        for start, active in blocks:
            gradient = self._product(left[:, start : start + active.rows.numel()].T, right)
            add_lesson_(gradient, lesson, start)
            self.update("items", active, gradient, lr, watched=watched, project=project)
