"""NeuMF: products of two embeddings and a small network over two others, added up to one score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, relu

from sparsedevice.models.parameters import Parameters
from sparsedevice.models.rows import ITEM_PROJECTION, BatchTensors, PlainRows
from sparsedevice.packing.pair_network import PairNetwork, shapes
from sparsedevice.sparse.mover import Mover
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.losses import Loss
from sparsedevice.training.optimizer import Table

# Items that meet all users of a step in the network at one time: the hidden units of these pairs are dense.
PAIR_ITEMS = 256
# Length of the network's steps beside that of the rows.
DENSE_LR = 0.01


class NeuMF(PlainRows):
    """NeuMF (He et al., WWW 2017, arXiv 1708.05031) over two tables, each row holding both embeddings.

    The score is that of ``PairNetwork``; rows keep length 1. The paper trains on a logistic loss with drawn
    negatives; here all pairs of a step's users and items go through the network, and any of the losses of the
    sampled catalogue is taken. The first layer is linear before its relu, so users and items go through their
    halves of it once, and a pair costs h + h·h/2 + h/2 products. Users x items x h numbers are held for
    ``PAIR_ITEMS`` items at a time, and computed again for the gradient.

    Attributes:
        tables: "users" and "items".
        movers: what moves the shape, for the sparse ones of the tables.
        parameters: the parts of ``PairNetwork``.
    """

    similarity = "dot"

    def __init__(self, users: Table, items: Table, movers: dict[str, Mover], config: TrainConfig) -> None:
        assert config.hidden is not None
        self.tables: dict[str, Table] = {"users": users, "items": items}
        self.movers = movers
        self._loss = Loss.of(config)
        values = initial_network(items.dim, config.hidden, config.seed)
        self.parameters = Parameters({name: value.to(items.device) for name, value in values.items()})

    def network(self) -> PairNetwork:
        """The network as it is."""
        return PairNetwork(**{n: value.cpu().numpy().copy() for n, value in self.parameters.values.items()})

    def state(self) -> dict[str, Tensor]:
        """The network, with Adam's moments and count of steps."""
        return {**self.parameters.state(), "steps": torch.tensor([self.parameters.steps])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self.parameters.load_state(state, int(state["steps"][0]))

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the network and the rows of a batch; see ``Model.step``."""
        users, items = self.tables["users"], self.tables["items"]
        rows = BatchTensors.of(batch, users.device)
        watched = self.watched({"users": rows.users, "items": rows.items}, last=last, progress=progress)
        user_active = users.active(rows.users)
        x = users.expand(user_active)
        blocks = self.item_blocks(rows.items)
        values = self.parameters.values
        scores = torch.empty(x.shape[0], rows.items.numel(), device=users.device)
        for start, active in blocks:
            scores[:, start : start + active.rows.numel()] = pair_scores(x, items.expand(active), values)
        loss = self._loss(scores, rows.user, rows.column, rows.log_inclusion, step=step)
        user_gradient = torch.zeros_like(x)
        found = {name: torch.zeros_like(value) for name, value in values.items()}
        for start, active in blocks:
            slope = scores[:, start : start + active.rows.numel()]
            item_gradient = pair_gradients_(x, items.expand(active), values, slope, user_gradient, found)
            project = step % ITEM_PROJECTION == 0
            self.update("items", active, item_gradient, lr, watched=watched, project=project)
        self.update("users", user_active, user_gradient, lr, watched=watched, project=True)
        self.parameters.step(found, DENSE_LR * lr)
        return loss


def initial_network(dim: int, hidden: int, seed: int) -> dict[str, Tensor]:
    """The network before training: the products of both halves, and a perceptron that adds little."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 - 2)
    found: dict[str, Tensor] = {}
    for name, shape in shapes(dim - dim // 2, dim, hidden, max(1, hidden // 2)).items():
        if name.endswith("bias"):
            found[name] = torch.zeros(shape)
        else:
            found[name] = torch.randn(shape, generator=generator)
    found["gmf"] = torch.full_like(found["gmf"], 2.0)
    found["second"] *= (2 / hidden) ** 0.5
    found["output"] *= 0.1
    return found


def pair_scores(users: Tensor, items: Tensor, values: dict[str, Tensor]) -> Tensor:
    """Scores float32[U, J] of rows float32[U, dim] and float32[J, dim]."""
    return torch.cat([_pairs(users, part, values) for part in torch.split(items, PAIR_ITEMS)], dim=1)


def pair_gradients_(
    users: Tensor,
    items: Tensor,
    values: dict[str, Tensor],
    slope: Tensor,
    user_gradient: Tensor,
    found: dict[str, Tensor],
) -> Tensor:
    """Gradient of the item rows, float32[J, dim]; the users' and the network's are added in place.

    Args:
        users: float32[U, dim].
        items: float32[J, dim].
        values: the network.
        slope: gradient of the scores, float32[U, J].
        user_gradient: float32[U, dim].
        found: as ``values``.
    """
    names = list(values)
    gradients = []
    for part, part_slope in zip(
        torch.split(items, PAIR_ITEMS), torch.split(slope, PAIR_ITEMS, dim=1), strict=True
    ):
        leaves = [tensor.detach().requires_grad_() for tensor in (users, part, *values.values())]
        with torch.enable_grad():
            scores = _pairs(leaves[0], leaves[1], dict(zip(names, leaves[2:], strict=True)))
        of_users, of_items, *rest = torch.autograd.grad(scores, leaves, part_slope)
        user_gradient += of_users
        for name, gradient in zip(names, rest, strict=True):
            found[name] += gradient
        gradients.append(of_items)
    return torch.cat(gradients)


def _pairs(users: Tensor, items: Tensor, values: dict[str, Tensor]) -> Tensor:
    g = values["gmf"].numel()
    products = (users[:, :g] * values["gmf"]) @ items[:, :g].T
    asked = linear(users[:, g:], values["user"], values["bias"])
    offered = linear(items[:, g:], values["item"])
    hidden = relu(linear(relu(asked[:, None] + offered), values["second"], values["second_bias"]))
    return products + hidden @ values["output"]
