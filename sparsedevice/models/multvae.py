"""Mult-VAE: a device runs it as an item table and a small tower, or a matrix, for the sum of a history."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.models.item_model import ItemModel
from sparsedevice.models.parameters import Parameters
from sparsedevice.models.rows import BatchTensors
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.packing.tower import Tower
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table

# Share of each history that the encoder does not see in a step, as in the paper.
DROPOUT = 0.5
# Largest weight of the divergence, reached after this share of training. The paper's 0.2 is too much here:
# the likelihood is one of cosines, whose length tells nothing.
KL_CAP = 0.02
KL_RAMP = 0.3
# Length of the dense layers' steps beside that of the rows.
DENSE_LR = 0.03
INITIAL_LOG_VARIANCE = -4.0


class MultVAE(ItemModel):
    """Variational autoencoder of histories (Liang et al., arXiv 1802.05814) over one item table.

    With V the item table (unit rows), first layer of the encoder and last layer of the decoder in one, and a
    history H of which half is dropped:

        s = Σ_{h in H} v_h / |Σ v_h|,     x = tanh(A s + a),          m = M x,   log var = L x + b,
        z = m + sqrt(var) noise,          q = C tanh(B z + c) + d,    scores = V q / |q|

    With ``hidden`` 0 the tanh layers are left out: x = s and q = z. The loss is the softmax over the sampled
    catalogue of all of the history's items, seen or dropped, plus a multiple of the divergence of N(m, var)
    from N(0, 1) that rises to ``KL_CAP``. All but V is small and dense.

    A device computes the query of the mean, z = m: with hidden layers a tower of three layers (B and M are
    one), without them a matrix.

    Attributes:
        tables: "items".
        movers: what moves the shape, where the table is sparse.
        parameters: "mean" [width, width], "log_variance" [width, width] and "bias" [width]; with hidden
            layers, whose width that is, also "input" [hidden, dim], "input_bias", "decoder" [hidden, hidden],
            "decoder_bias", "output" [dim, hidden] and "output_bias".
    """

    similarity = "cosine"

    def __init__(self, items: Table, movers: dict[str, Mover], config: TrainConfig) -> None:
        assert config.hidden is not None
        super().__init__(items, movers, config)
        self._loss = Loss.of(config)
        self._seed = config.seed
        values = initial_values(items.dim, config.hidden, config.seed)
        self.parameters = Parameters({name: value.to(items.device) for name, value in values.items()})

    def fold_in(self) -> FoldIn:
        """The query of the posterior's mean, up to its length."""
        found = {name: value.cpu().numpy() for name, value in self.parameters.values.items()}
        if "input" not in found:
            return FoldIn(None, found["mean"].copy())
        layers = (
            (found["input"], found["input_bias"]),
            (found["decoder"] @ found["mean"], found["decoder_bias"]),
            (found["output"], found["output_bias"]),
        )
        return FoldIn(rule=Tower(tuple((weight.copy(), bias.copy()) for weight, bias in layers)))

    def state(self) -> dict[str, Tensor]:
        """The encoder, with Adam's moments and count of steps."""
        return {**self.parameters.state(), "steps": torch.tensor([self.parameters.steps])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self.parameters.load_state(state, int(state["steps"][0]))

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update encoder and the rows of a batch's sample of items; see ``Model.step``."""
        items = self.tables["items"]
        device = items.device
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        _, rows, user, column, log_inclusion = BatchTensors.of(batch, device)
        watched = self.watched({"items": rows}, last=last, progress=progress)
        blocks = self.item_blocks(rows)
        seen = (torch.rand(len(batch.user), generator=generator) >= DROPOUT).float().to(device)
        history = torch.zeros(len(batch.users), rows.numel(), device=device)
        history[user, column] = seen
        pooled = self.pool(history, blocks)
        width = len(self.parameters.values["bias"])
        noise = torch.randn(len(pooled), width, generator=generator).to(device)
        pooled.requires_grad_()
        values = {name: value.detach().requires_grad_() for name, value in self.parameters.values.items()}
        with torch.enable_grad():
            query, divergence = encode(pooled, values, noise)
        scores = self.products(query.detach(), blocks)
        loss = self._loss(scores, user, column, log_inclusion, step=step)
        query_gradient = self.pool(scores, blocks)
        beta = KL_CAP * min(1.0, progress / KL_RAMP)
        found = torch.autograd.grad(
            [query, divergence],
            [pooled, *values.values()],
            [query_gradient, torch.full_like(divergence, beta)],
        )
        left = torch.cat([scores, history])
        right = torch.cat([query.detach(), found[0]])
        self.update_items(blocks, left, right, lr, step=step, watched=watched)
        self.parameters.step(dict(zip(values, found[1:], strict=True)), DENSE_LR * lr)
        return loss


def initial_values(dim: int, hidden: int, seed: int) -> dict[str, Tensor]:
    """The dense layers before training: they hand on the sum's direction, nearly as it is."""
    width = hidden or dim
    values = {
        "mean": dim**0.5 * torch.eye(width) if not hidden else torch.eye(width),
        "log_variance": torch.zeros(width, width),
        "bias": torch.full((width,), INITIAL_LOG_VARIANCE),
    }
    if not hidden:
        return values
    generator = torch.Generator().manual_seed(seed * 1_000_003 - 1)
    basis = torch.linalg.qr(torch.randn(dim, hidden, generator=generator)).Q
    return values | {
        "input": dim**0.5 * basis.T.contiguous(),
        "input_bias": torch.zeros(hidden),
        "decoder": torch.eye(hidden),
        "decoder_bias": torch.zeros(hidden),
        "output": basis.contiguous(),
        "output_bias": torch.zeros(dim),
    }


def encode(pooled: Tensor, values: dict[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
    """Unit queries drawn from the posterior, float32[U, dim], and its divergences from N(0, 1) [U]."""
    found = pooled / pooled.norm(dim=1, keepdim=True).clamp_min(1e-6)
    if "input" in values:
        found = torch.tanh(found @ values["input"].T + values["input_bias"])
    mean = found @ values["mean"].T
    log_variance = found @ values["log_variance"].T + values["bias"]
    drawn = mean + (0.5 * log_variance).exp() * noise
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    if "input" in values:
        hidden = torch.tanh(drawn @ values["decoder"].T + values["decoder_bias"])
        drawn = hidden @ values["output"].T + values["output_bias"]
    return drawn / drawn.norm(dim=1, keepdim=True).clamp_min(1e-6), divergence
