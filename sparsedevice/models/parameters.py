"""Named dense parameters with Adam, whose axes can lose units and get them back."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Fill = Callable[[tuple[int, ...]], Tensor]


class Parameters:
    """The few small matrices of a model that are not embedding tables.

    Attributes:
        values: tensors by name, float32.
        first: first moments, as ``values``.
        second: second moments, as ``values``.
        steps: steps done.
    """

    def __init__(self, values: dict[str, Tensor]) -> None:
        self.values = values
        self.first = {name: torch.zeros_like(value) for name, value in values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in values.items()}
        self.steps = 0

    def step(self, gradients: dict[str, Tensor], lr: float, beta1: float = 0.9, beta2: float = 0.999) -> None:
        """One step of Adam (Kingma and Ba, arXiv 1412.6980)."""
        self.steps += 1
        scale = lr * (1 - beta2**self.steps) ** 0.5 / (1 - beta1**self.steps)
        for name, gradient in gradients.items():
            first = self.first[name].mul_(beta1).add_(gradient, alpha=1 - beta1)
            second = self.second[name].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            self.values[name].addcdiv_(first, second.sqrt().add_(1e-8), value=-scale)

    def keep(self, name: str, axis: int, index: Tensor) -> None:
        """Keep the units ``index`` (int64[m]) of an axis; the rest is gone, with its moments."""
        for tensors in (self.values, self.first, self.second):
            tensors[name] = tensors[name].index_select(axis, index).contiguous()

    def spread(self, name: str, axis: int, index: Tensor, size: int, fill: Fill) -> None:
        """Put an axis's units at ``index`` (int64[m]) of a new axis of ``size``.

        The others get values from ``fill`` and moments of zero.
        """
        for tensors in (self.values, self.first, self.second):
            old = tensors[name]
            shape = (*old.shape[:axis], size, *old.shape[axis + 1 :])
            new = fill(shape).to(old.device) if tensors is self.values else old.new_zeros(shape)
            tensors[name] = new.index_copy_(axis, index, old)

    def state(self) -> dict[str, Tensor]:
        """Every tensor by name: what a checkpoint stores and what memory accounting counts."""
        out = {f"{name}.value": value for name, value in self.values.items()}
        out |= {f"{name}.first": value for name, value in self.first.items()}
        return out | {f"{name}.second": value for name, value in self.second.items()}

    def load_state(self, state: dict[str, Tensor], steps: int) -> None:
        """Restore what ``state`` returned, of whatever shapes."""
        for kind, tensors in (("value", self.values), ("first", self.first), ("second", self.second)):
            for name, old in tensors.items():
                tensors[name] = state[f"{name}.{kind}"].to(old.device)
        self.steps = steps

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())
