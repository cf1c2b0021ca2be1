"""Alternate model growth and pruning: whole units leave the matrices and come back.

After Du et al., "Alternate Model Growth and Pruning for Efficient Training of Recommendation Systems" (arXiv
2105.01064), which is known to us by its abstract: weights are grown and pruned alternately, in structured
units so that training computes less, and the model is full-size at the end so that recurring training keeps
its capacity. Which structures, how long a phase, what is pruned and how it is grown is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Finish = Literal["full", "pruned"]


@dataclass(frozen=True)
class Phases:
    """When the model is full and when it is pruned, in fractions of training.

    Full and pruned phases take turns, starting full: ``cycles`` pruned ones, and as many full ones, or one
    more where the model is to end full-size. Phases of a kind are equally long.

    Attributes:
        cycles: number of pruned phases.
        full_share: share of training that the full phases take together, above 0 and below 1.
        finish: "full" ends full-size, for the next refresh on new data; "pruned" ends small, for a device.
    """

    cycles: int
    full_share: float
    finish: Finish

    def is_pruned(self, progress: float) -> bool:
        """Whether the model is small at ``progress`` (0 to 1 of training)."""
        n_full = self.cycles + (self.finish == "full")
        full, pruned = self.full_share / n_full, (1 - self.full_share) / self.cycles
        if progress >= 1 - 1e-12:
            return self.finish == "pruned"
        return progress - (full + pruned) * math.floor(progress / (full + pruned)) >= full - 1e-12


class UnitGroup:
    """Units that are pruned among each other: the neurons of a layer, or the columns of a table.

    The importance of a unit is the sum over steps of (Σ weight · gradient)², the sum inside over the weights
    that make the unit's output: the squared change of the loss, to first order, were the unit scaled to zero
    (Molchanov et al., arXiv 1906.10771; with ReLU, whose output scales with the weights, it equals their gate
    on the output). No unit is masked: a pruned unit has left the matrices.

    Attributes:
        name: of the group.
        size: units when full.
        alive: the units that are there, int64[m], ascending.
        importance: of each of them since the last change, float32[m].
    """

    def __init__(self, name: str, size: int, device: torch.device) -> None:
        self.name = name
        self.size = size
        self.alive = torch.arange(size, device=device)
        self.importance = torch.zeros(size, device=device)

    def observe(self, gate_gradient: Tensor) -> None:
        """Take note of one step's Σ weight · gradient of each unit that is there, float32[m]."""
        self.importance += gate_gradient * gate_gradient

    def choose(self, sparsity: float) -> Tensor:
        """Positions among the units that are there of the most important ones, int64, ascending.

        Args:
            sparsity: share of the full group that goes; one unit stays at least.
        """
        n_kept = min(max(1, math.ceil(self.size * (1 - sparsity) - 1e-9)), self.alive.numel())
        return torch.topk(self.importance, n_kept).indices.sort().values

    def keep(self, position: Tensor) -> None:
        """Note that only the units at these positions (int64) are left."""
        self.alive = self.alive[position]
        self.importance = torch.zeros(position.numel(), device=self.alive.device)

    def restore(self) -> None:
        """Note that all units are there again."""
        self.alive = torch.arange(self.size, device=self.alive.device)
        self.importance = torch.zeros(self.size, device=self.alive.device)
