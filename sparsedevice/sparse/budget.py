"""How many active entries each row of a table gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError


def active_entries(n_rows: int, dim: int, sparsity: float) -> int:
    """Entries that a table of this sparsity keeps, at least one a row.

    Raises:
        ConfigError: if ``sparsity`` is outside [0, 1).
    """
    if not 0.0 <= sparsity < 1.0:
        raise ConfigError(f"sparsity {sparsity} is outside 0 (dense) to below 1; choose for example 0.9")
    return max(n_rows, int(n_rows * dim * (1.0 - sparsity) + 1e-6))


def fixed_lengths(n_rows: int, dim: int, sparsity: float) -> NDArray[np.int64]:
    """The same number of entries for every row, rounded down so that the budget is never exceeded."""
    return np.full(n_rows, max(1, active_entries(n_rows, dim, sparsity) // max(n_rows, 1)), np.int64)


def global_lengths(
    counts: NDArray[np.int64], dim: int, sparsity: float, *, power: float = 0.5, floor: int = 1
) -> NDArray[np.int64]:
    """One budget for the table, shared out in proportion to ``counts ** power``, at least ``floor`` a row.

    Args:
        counts: interactions of each row, int64[n_rows].
        dim: width of the table; no row gets more.
        sparsity: share of zero entries over the whole table.
        power: 0 shares equally, 1 in proportion to popularity.
        floor: entries that every row keeps whatever its popularity.

    Returns:
        int64[n_rows], summing to the budget (to the capacity where that is smaller).
    """
    n_rows = len(counts)
    budget = active_entries(n_rows, dim, sparsity)
    floor = max(1, min(floor, budget // max(n_rows, 1), dim))
    weight = np.maximum(counts, 1).astype(np.float64) ** power
    low, high = 0.0, float(dim) / weight.min()
    for _ in range(60):
        scale = 0.5 * (low + high)
        if np.clip(np.floor(scale * weight), floor, dim).sum() > budget:
            high = scale
        else:
            low = scale
    lengths: NDArray[np.int64] = np.clip(np.floor(low * weight), floor, dim).astype(np.int64)
    spare = int(budget - lengths.sum())
    if spare > 0:
        open_rows = np.flatnonzero(lengths < dim)
        most_cut = np.argsort(-(low * weight - lengths)[open_rows], kind="stable")
        lengths[open_rows[most_cut[:spare]]] += 1
    return lengths
