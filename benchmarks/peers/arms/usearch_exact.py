"""usearch: exact search over int8 and float32 vectors, with its own kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6", "usearch==2.26.6"]
VARIANTS = ["exact-fp32", "exact-int8"]


def load(variant: str, data: Path, k: int) -> Loaded:
    """The vectors in memory; int8 scaled as the library wants it, to -127 … 127."""
    from usearch.index import MetricKind, search

    items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")
    if variant == "exact-int8":
        items, queries = (np.rint(x * (127 / np.abs(x).max())).astype(np.int8) for x in (items, queries))
    metric = MetricKind.IP if variant == "exact-fp32" else MetricKind.Cos
    return Loaded(
        lambda query: search(items, queries[query], k, metric, exact=True, threads=1).keys, items.nbytes
    )


if __name__ == "__main__":
    serve(load, "usearch.index")
