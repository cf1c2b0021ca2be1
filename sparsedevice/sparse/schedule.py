"""How much of the shape moves at an update, and how many entries a table may hold meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Cosine decay of the moved share, and exponential annealing of the fan-in.

    The decay is RigL's (arXiv 1911.11134, eq. 1).

    Attributes:
        rho0: share of a row's entries that the first update moves; 0 keeps the shape static.
        end: fraction of training after which the shape rests and only values learn, in (0, 1].
        anneal_end: fraction of training at which the fan-in has come down to its final value; 0 where it
            never was wider.
        decay: "cosine", or "constant" where every update up to ``end`` moves the same share.
    """

    rho0: float
    end: float
    anneal_end: float = 0.0
    decay: str = "cosine"

    def moved_share(self, progress: float) -> float:
        """Share of entries to drop and grow at ``progress`` (0 to 1 of training)."""
        if self.rho0 <= 0 or progress >= self.end:
            return 0.0
        if self.decay == "constant":
            return self.rho0
        return 0.5 * self.rho0 * (1 + math.cos(math.pi * progress / self.end))

    def widening(self, start_ratio: float, progress: float) -> float:
        """Factor on the final fan-in: ``start_ratio`` at first, falling exponentially to 1 at ``anneal_end``.

        Exponential steps are what Compressed ELSA (arXiv 2602.09935) found best.
        """
        if start_ratio <= 1 or progress >= self.anneal_end:
            return 1.0
        return float(start_ratio ** (1 - progress / self.anneal_end))


def cubic_lengths(final: Tensor, dim: int, progress: float) -> Tensor:
    """Entries of each row while the sparsity rises from 0 as 1 - (1 - t)³ (Zhu and Gupta, arXiv 1710.01878).

    Args:
        final: entries of each row at the end, int64[n].
        dim: entries of each row at first.
        progress: t, 1 and beyond at the end of the rise.
    """
    left = max(0.0, 1.0 - progress) ** 3
    return (final + (dim - final) * left).round().long()


def step_length(lr: float, progress: float, restart: float = 0.0) -> float:
    """Learning rate along a cosine from ``lr`` to 0, which starts over at ``restart`` of training."""
    start, end = (0.0, restart) if progress < restart else (restart, 1.0)
    done = (progress - start) / (end - start)
    return lr * 0.5 * (1 + math.cos(math.pi * done))
