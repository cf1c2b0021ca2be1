"""A few dense layers that turn the sum of a history into a query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError

MIN_LAYERS, MAX_LAYERS = 2, 8
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Tower:
    """``x`` at length 1 goes through the layers ``W x + b``, with tanh after all but the last.

    Attributes:
        layers: weights float32[out, in] and bias float32[out] of each, 2 to 8; all hidden layers have one
            width, at most that of the table, and the last layer is as wide as the table.
    """

    layers: tuple[Layer, ...]

    @property
    def hidden(self) -> int:
        """Width of the hidden layers."""
        return len(self.layers[0][1])

    def check(self, dim: int) -> None:
        """Check shapes and values against a table of ``dim`` columns.

        Raises:
            ConfigError: if a shape is outside the format or a number is not finite.
        """
        count = len(self.layers)
        if not MIN_LAYERS <= count <= MAX_LAYERS or not 1 <= self.hidden <= dim:
            raise ConfigError(
                f"a fold-in tower has {MIN_LAYERS} to {MAX_LAYERS} layers, hidden ones of 1 to {dim} units"
                f" (the table's columns); this one has {count} layers, hidden ones of {self.hidden} units"
            )
        for (weight, bias), shape in zip(self.layers, layer_shapes(count, self.hidden, dim), strict=True):
            if weight.shape != shape or bias.shape != shape[:1]:
                raise ConfigError(
                    f"a layer of the fold-in tower has shapes {weight.shape} and {bias.shape};"
                    f" {shape} and {shape[:1]} belong here"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ConfigError("the fold-in tower holds a number that is not finite; train it again")

    def to_array(self) -> NDArray[np.float32]:
        """All numbers, float32[n]: of each layer the weights row by row, then the bias."""
        return np.concatenate([part.ravel() for layer in self.layers for part in layer]).astype(np.float32)

    @classmethod
    def from_array(cls, count: int, hidden: int, dim: int, numbers: NDArray[np.float32]) -> Tower:
        """The tower that ``to_array`` wrote, its arrays views.

        Raises:
            ConfigError: if the numbers do not fit, or the tower is outside the format.
        """
        if numbers.size != tower_size(count, hidden, dim):
            raise ConfigError(f"{numbers.size} numbers do not make a fold-in tower of {count} layers")
        tower = cls(tuple(_cut(count, hidden, dim, numbers)))
        tower.check(dim)
        return tower


def layer_shapes(count: int, hidden: int, dim: int) -> list[tuple[int, int]]:
    """Outputs and inputs of each layer."""
    widths = [dim, *[hidden] * (count - 1), dim]
    return [(out, into) for into, out in pairwise(widths)]


def tower_size(count: int, hidden: int, dim: int) -> int:
    """How many numbers a tower has; 0 where it is outside the format."""
    if not MIN_LAYERS <= count <= MAX_LAYERS or not 1 <= hidden <= dim:
        return 0
    return sum(out * (into + 1) for out, into in layer_shapes(count, hidden, dim))


def _cut(count: int, hidden: int, dim: int, numbers: NDArray[np.float32]) -> Iterator[Layer]:
    at = 0
    for out, into in layer_shapes(count, hidden, dim):
        middle, end = at + out * into, at + out * (into + 1)
        yield numbers[at:middle].reshape(out, into), numbers[middle:end]
        at = end
