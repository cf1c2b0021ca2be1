"""How much of the shape moves at an update, and how many entries a table may hold meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Cosine decay of the moved share, and exponential annealing of the fan-in.

    The decay is RigL's (arXiv 1911.11134, eq. 1).

    Attributes:
        rho0: share of a row's entries that the first update moves; 0 keeps the shape static.
        end: fraction of training after which the shape rests and only values learn, in (0, 1].
        anneal_end: fraction of training at which the fan-in has come down to its final value; 0 where it
            never was wider.
    """

    rho0: float
    end: float
    anneal_end: float = 0.0

    def moved_share(self, progress: float) -> float:
        """Share of entries to drop and grow at ``progress`` (0 to 1 of training)."""
        if self.rho0 <= 0 or progress >= self.end:
            return 0.0
        return 0.5 * self.rho0 * (1 + math.cos(math.pi * progress / self.end))

    def widening(self, start_ratio: float, progress: float) -> float:
        """Factor on the final fan-in: ``start_ratio`` at first, falling exponentially to 1 at ``anneal_end``.

        Exponential steps are what Compressed ELSA (arXiv 2602.09935) found best.
        """
        if start_ratio <= 1 or progress >= self.anneal_end:
            return 1.0
        return float(start_ratio ** (1 - progress / self.anneal_end))
