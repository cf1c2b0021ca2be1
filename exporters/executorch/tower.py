"""The fold-in tower as a method of the ExecuTorch program."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sparsedevice.packing import Tower


class Climb(nn.Module):
    """``tower(query float64[dim]) -> float64[dim]``: the dense layers of the fold-in rule; 0 stays 0.

    The runtime's own tanh is within 1e-8 of the contract's polynomial.
    """

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.count = len(tower.layers)
        for place, (weight, bias) in enumerate(tower.layers):
            self.register_buffer(f"weight_{place}", torch.from_numpy(np.array(weight)))
            self.register_buffer(f"bias_{place}", torch.from_numpy(np.array(bias)))

    def forward(self, query: Tensor) -> Tensor:
        """See the class."""
        norm = (query * query).sum().sqrt()
        usable = norm > 0
        found = query / torch.where(usable, norm, 1.0)
        for place in range(self.count):
            found = torch.tanh(found) if place else found
            weight, bias = self.get_buffer(f"weight_{place}"), self.get_buffer(f"bias_{place}")
            found = (weight.to(torch.float64) * found).sum(1) + bias.to(torch.float64)
        return found * usable
