"""Mult-VAE with a linear encoder: a device runs it as an item table and a fold-in matrix."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.models.parameters import Parameters
from sparsedevice.models.rows import ITEM_PROJECTION, ITEM_ROWS, PlainRows, half_product, update_table
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table

# Share of each history that the encoder does not see in a step, as in the paper.
DROPOUT = 0.5
# Largest weight of the divergence, reached after this share of training (the paper: 0.2).
KL_CAP = 0.2
KL_RAMP = 0.3
ENCODER_LR = 1e-3
INITIAL_LOG_VARIANCE = -4.0


class MultVAE(PlainRows):
    """Variational autoencoder of histories (Liang et al., arXiv 1802.05814), its encoder linear.

    With V the item table (unit rows), both encoder and decoder, and a history H of which half is dropped:

        s = Σ_{h in H} v_h / |Σ v_h|,   m = M s,   log var = L s + b,   z = m + sqrt(var) noise,
        scores = V z / |z|

    The loss is the softmax over the sampled catalogue of all of the history's items, seen or dropped, plus a
    multiple of the divergence of N(m, var) from N(0, 1) that rises to ``KL_CAP``. The paper's encoder and
    decoder have a hidden tanh layer each, which no packed file can express; without them the mean m is a
    fold-in matrix applied to the sum of a history's rows. M, L and b are small and dense.

    Attributes:
        tables: "items".
        movers: what moves the shape, where the table is sparse.
        parameters: "mean" [dim, dim], "log_variance" [dim, dim] and "bias" [dim].
    """

    similarity = "cosine"

    def __init__(self, items: Table, movers: dict[str, Mover], config: TrainConfig) -> None:
        self.tables: dict[str, Table] = {"items": items}
        self.movers = movers
        self._loss = Loss.of(config)
        self._seed = config.seed
        self._product = half_product if config.precision == "bfloat16" else torch.matmul
        self._item_rows = max(1, min(ITEM_ROWS, items.n_rows // 4))
        dim, device = items.dim, items.device
        self.parameters = Parameters(
            {
                "mean": torch.eye(dim, device=device),
                "log_variance": torch.zeros(dim, dim, device=device),
                "bias": torch.full((dim,), INITIAL_LOG_VARIANCE, device=device),
            }
        )

    def fold_in(self) -> FoldIn:
        """The mean of the posterior, up to its length."""
        matrix: NDArray[np.float32] = self.parameters.values["mean"].cpu().numpy().copy()
        return FoldIn(None, matrix)

    def state(self) -> dict[str, Tensor]:
        """The encoder, with Adam's moments and count of steps."""
        return {**self.parameters.state(), "steps": torch.tensor([self.parameters.steps])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self.parameters.load_state(state, int(state["steps"][0]))

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update encoder and the rows of a batch's sample of items; see ``Model.step``."""
        items, mover = self.tables["items"], self.movers.get("items")
        device = items.device
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        rows = torch.from_numpy(batch.items).to(device)
        user = torch.from_numpy(batch.user).to(device)
        column = torch.from_numpy(batch.column).to(device)
        watching = mover is not None and mover.start_step(rows, last=last, progress=progress)
        blocks = [
            (start, items.active(rows[start : start + self._item_rows]))
            for start in range(0, rows.numel(), self._item_rows)
        ]
        seen = (torch.rand(len(batch.user), generator=generator) >= DROPOUT).float().to(device)
        history = torch.zeros(len(batch.users), rows.numel(), device=device)
        history[user, column] = seen
        pooled = torch.zeros(len(batch.users), items.dim, device=device)
        for start, active in blocks:
            pooled += self._product(history[:, start : start + active.rows.numel()], items.expand(active))
        noise = torch.randn(pooled.shape, generator=generator).to(device)
        pooled.requires_grad_()
        values = {name: value.detach().requires_grad_() for name, value in self.parameters.values.items()}
        with torch.enable_grad():
            query, divergence = encode(pooled, values, noise)
        scores = torch.empty_like(history)
        for start, active in blocks:
            scores[:, start : start + active.rows.numel()] = self._product(
                query.detach(), items.expand(active).T
            )
        log_inclusion = torch.from_numpy(batch.log_inclusion).to(device)
        loss = self._loss(scores, user, column, log_inclusion, step=step)
        query_gradient = torch.zeros_like(query)
        for start, active in blocks:
            query_gradient += self._product(
                scores[:, start : start + active.rows.numel()], items.expand(active)
            )
        beta = KL_CAP * min(1.0, progress / KL_RAMP)
        found = torch.autograd.grad(
            [query, divergence],
            [pooled, *values.values()],
            [query_gradient, torch.full_like(divergence, beta)],
        )
        left = torch.cat([scores, history])
        right = torch.cat([query.detach(), found[0]])
        for start, active in blocks:
            gradient = self._product(left[:, start : start + active.rows.numel()].T, right)
            if watching and mover is not None:
                mover.observe(active.rows, gradient)
            update_table(items, mover, active, gradient, lr, project=step % ITEM_PROJECTION == 0)
        self.parameters.step(dict(zip(values, found[1:], strict=True)), ENCODER_LR * lr)
        return loss


def encode(pooled: Tensor, values: dict[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
    """Unit queries drawn from the posterior, float32[U, dim], and its divergences from N(0, 1) [U]."""
    unit = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-6)
    mean = unit @ values["mean"].T
    log_variance = unit @ values["log_variance"].T + values["bias"]
    drawn = mean + (0.5 * log_variance).exp() * noise
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    return drawn / drawn.norm(dim=1, keepdim=True).clamp_min(1e-6), divergence
