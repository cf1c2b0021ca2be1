"""What a fold-in rule costs in the core.

python benchmarks/runtime/fold_in.py

Random rows of Gowalla's size (40,981 x 256 with 25 active, x 64 with 6), int8; medians of 60
interleaved calls of recommend, k=20.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import FoldIn, Ridge, Steps, pack
from sparsedevice.runtime.core import CoreRecommender

N = 40_981
SIZES = ((256, 25), (64, 6))


def rules(dim: int) -> dict[str, FoldIn]:
    """What is compared, by name."""
    return {
        "sum": FoldIn(),
        "matrix": FoldIn(None, np.eye(dim, dtype=np.float32)),
        "ridge, 8 iterations": FoldIn(None, None, Ridge(10.0, 8)),
        "4 steps of 256 rows": FoldIn(None, None, Steps(4, 256, 1.0, 10.0)),
        "8 steps of 512 rows": FoldIn(None, None, Steps(8, 512, 1.0, 10.0)),
        "16 steps of 2048 rows": FoldIn(None, None, Steps(16, 2048, 1.0, 10.0)),
    }


def measure(dim: int, active: int) -> None:
    """Print microseconds by history length and rule."""
    rng = np.random.default_rng(0)
    columns = np.sort(np.argsort(rng.random((N, dim), dtype=np.float32), axis=1)[:, :active], axis=1)
    values = rng.normal(size=N * active).astype(np.float32)
    items = sp.csr_array(
        (values, columns.ravel().astype(np.int32), active * np.arange(N + 1)), shape=(N, dim)
    )
    ids = [str(row) for row in range(N)]
    with tempfile.TemporaryDirectory() as folder:
        opened = {}
        for i, (name, rule) in enumerate(rules(dim).items()):
            pack(Path(folder) / f"{i}.sd", items, item_ids=ids, fold_in=rule)
            opened[name] = CoreRecommender.open(Path(folder) / f"{i}.sd", verify=False)
        for length in (10, 50):
            history = [str(row) for row in rng.integers(0, N, length)]
            seconds: dict[str, list[float]] = {name: [] for name in opened}
            for _ in range(60):
                for name, recommender in opened.items():
                    started = time.perf_counter()
                    recommender.recommend(history=history, k=20)
                    seconds[name].append(time.perf_counter() - started)
            for name, taken in seconds.items():
                print(f"{active} of {dim}, history {length}, {name}: {1e6 * float(np.median(taken)):.0f} us")


if __name__ == "__main__":
    for size in SIZES:
        measure(*size)
