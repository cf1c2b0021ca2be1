"""A packed file of random rows, large enough that memory and time show what a target really does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import PackedFile, pack


def write_big_table(
    path: Path,
    *,
    n_items: int = 1_000_000,
    dim: int = 64,
    mean: float = 6.4,
    seed: int = 0,
    values: str = "int8",
) -> PackedFile:
    """Pack ``n_items`` rows whose lengths follow Poisson's law around ``mean``, 1 to 20 entries each."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.poisson(mean, n_items), 1, min(20, dim))
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data = rng.standard_normal(indptr[-1]).astype(np.float32)
    columns = rng.integers(0, dim, indptr[-1]).astype(np.int32)
    table = sp.csr_array((data, columns, indptr), shape=(n_items, dim))
    table.sum_duplicates()
    pack(path, table, item_ids=[str(i) for i in range(n_items)], values=values)  # type: ignore[arg-type]
    return PackedFile.open(path, verify=False)
