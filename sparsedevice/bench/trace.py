"""The queries that a benchmark asks: the same for every backend, by seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 5, 50


@dataclass(frozen=True)
class Trace:
    """Histories over the rows of a catalogue.

    Items are drawn by Zipf's law with exponent 1 over a random order of the catalogue, lengths uniformly
    from 5 to 50 (fewer where the catalogue is smaller); an item occurs once in a history.

    Attributes:
        n_items: rows of the catalogue.
        n_queries: how many histories.
        seed: same seed, same histories.
    """

    n_items: int
    n_queries: int = 256
    seed: int = 0

    def histories(self) -> list[NDArray[np.int64]]:
        """The histories, int64 rows each, in the order in which they are asked."""
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(self.n_items)
        steps = np.cumsum(1.0 / np.arange(1, self.n_items + 1))
        longest = min(LONGEST, self.n_items)
        lengths = rng.integers(min(SHORTEST, longest), longest + 1, self.n_queries)
        drawn = []
        for length in lengths:
            ranks: list[int] = []
            while len(ranks) < length:
                at = np.searchsorted(steps, rng.random(2 * length) * steps[-1], side="right")
                ranks = list(dict.fromkeys([*ranks, *at.tolist()]))[:length]
            drawn.append(order[ranks])
        return drawn

    def to_json(self) -> dict[str, Any]:
        """What makes the trace, as JSON-ready values."""
        return {"kind": "zipf histories", **asdict(self), "lengths": [SHORTEST, LONGEST]}
