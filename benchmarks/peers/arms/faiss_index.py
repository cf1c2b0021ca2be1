"""faiss: flat float32, 8-bit scalar quantisation, product quantisation with fast scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6", "faiss-cpu==1.15.1"]
VARIANTS = ["flat", "sq8", "pq-fastscan"]
_FACTORY = {"flat": "Flat", "sq8": "SQ8", "pq-fastscan": "PQ{m}x4fs"}


def load(variant: str, data: Path, k: int) -> Loaded:
    """Train and fill the index; 8 bytes an item for product quantisation."""
    import faiss

    faiss.omp_set_num_threads(1)
    items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")
    dim = items.shape[1]
    parts = next(m for m in (16, 8, 4, 2, 1) if dim % m == 0)
    index = faiss.index_factory(dim, _FACTORY[variant].format(m=parts), faiss.METRIC_INNER_PRODUCT)
    index.train(items)
    index.add(items)
    path = data / f"{variant}.faiss"
    faiss.write_index(index, str(path))
    note = "approximate" if variant.startswith("pq") else ""
    return Loaded(lambda query: index.search(queries[query : query + 1], k)[1], path.stat().st_size, note)


if __name__ == "__main__":
    serve(load, "faiss")
