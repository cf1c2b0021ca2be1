"""How a device turns a history into a query; the choice is part of the model and of the packed file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError


@dataclass(frozen=True, eq=False)
class FoldIn:
    """``q = matrix @ sum(weights[h] * row[h] for h in history)``; both parts are optional.

    Attributes:
        weights: float32[n_items], finite: what each item counts for in a history; None means 1 for all.
        matrix: float32[dim, dim], finite: applied to the sum; None means the identity.
    """

    weights: NDArray[np.float32] | None = None
    matrix: NDArray[np.float32] | None = None

    def check(self, n_items: int, dim: int) -> None:
        """Check shapes and values against a table.

        Raises:
            ConfigError: if a shape does not fit the table or a number is not finite.
        """
        for name, array, shape in (
            ("weights", self.weights, (n_items,)),
            ("matrix", self.matrix, (dim, dim)),
        ):
            if array is None:
                continue
            if array.shape != shape:
                raise ConfigError(f"fold-in {name} has shape {array.shape}; this table needs {shape}")
            if not np.isfinite(array).all():
                raise ConfigError(f"fold-in {name} holds a number that is not finite; choose another rule")

    def reorder(self, order: NDArray[np.int64]) -> FoldIn:
        """The same rule for items in a new order: row ``i`` of the result is row ``order[i]`` of this."""
        return FoldIn(None if self.weights is None else self.weights[order], self.matrix)
