"""Dense float32 in numpy: one product, one partition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6"]
VARIANTS = ["fp32"]


def load(_variant: str, data: Path, k: int) -> Loaded:
    """The table in memory."""
    items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")

    def ask(query: int) -> np.ndarray:
        scores = items @ queries[query]
        best = np.argpartition(scores, -k)[-k:]
        return best[np.argsort(-scores[best], kind="stable")]

    return Loaded(ask, items.nbytes)


if __name__ == "__main__":
    serve(load)
