"""Rows of floats to rows of small integers, so that scores, not values, keep their precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError
from sparsedevice.packing.format import Similarity, Values

_LIMIT = {"int8": 127, "int4": 7}
# Shrinking the range clips a row's largest values and makes the others finer. At 4 bits that often
# raises the cosine between the row and its integers; at 8 bits it does not matter.
_INT4_SHRINKS = np.linspace(0.55, 1.0, 19)


# Rows that are worked on at once: what is computed on the way takes some hundred bytes a row.
_BLOCK_ROWS = 1 << 16


def row_blocks(n: int, most: int = _BLOCK_ROWS) -> Iterator[tuple[int, int]]:
    """First row, and the row after the last, of blocks of at most ``most`` rows that together are ``n``."""
    for first in range(0, n, most):
        yield first, min(first + most, n)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in CSR form with the values that the file stores. No value is zero.

    Attributes:
        indptr: int64[n + 1].
        columns: int32[nnz], increasing in each row; uint8 or uint16 from the compact coding's decoder.
        values: [nnz]: float32, float16, or int8 (also for int4, within -7 … 7).
        scales: float32[n], > 0: what a row's sum of products is multiplied by.
        dim: columns of the table.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[Any]
    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    scales: NDArray[np.float32]
    dim: int

    def take(self, order: NDArray[np.int64]) -> Rows:
        """The rows in another order: row ``i`` of the result is row ``order[i]`` of this."""
        if len(order) == len(self.indptr) - 1 and (order == np.arange(len(order))).all():
            return self
        lengths = np.diff(self.indptr)[order]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        columns = np.empty(indptr[-1], self.columns.dtype)
        values = np.empty(indptr[-1], self.values.dtype)
        for first, last in row_blocks(len(order)):
            part = slice(int(indptr[first]), int(indptr[last]))
            moved = np.repeat(self.indptr[order[first:last]] - indptr[first:last], lengths[first:last])
            source = moved + np.arange(part.start, part.stop)
            columns[part] = self.columns[source]
            values[part] = self.values[source]
        return Rows(indptr, columns, values, self.scales[order], self.dim)


def quantize(table: sp.csr_array, values: Values, similarity: Similarity, *, name: str) -> Rows:
    """Quantise the rows of ``table`` (n x dim, float32); entries that become zero are left out.

    For cosine a row's length does not matter, so its scale is ``1 / norm of the integers``; for dot
    it is the quantisation step. Rows without entries have the scale 1.

    Raises:
        ConfigError: if a value is not finite.
    """
    n, dim = table.shape
    # Room for every entry; what is not used is never touched.
    columns = np.empty(table.nnz, np.int32)
    stored: NDArray[Any] = np.empty(table.nnz, {"f32": np.float32, "f16": np.float16}.get(values, np.int8))
    scales = np.empty(n, np.float32)
    lengths = np.zeros(n + 1, np.int64)
    end = 0
    for first, last in row_blocks(n):
        rows = _quantize_block(table[first:last], values, similarity, name, first)
        start, end = end, end + len(rows.values)
        columns[start:end], stored[start:end] = rows.columns, rows.values
        scales[first:last], lengths[first + 1 : last + 1] = rows.scales, np.diff(rows.indptr)
    return Rows(np.cumsum(lengths), columns[:end], stored[:end], scales, dim)


def _quantize_block(
    block: sp.csr_array, values: Values, similarity: Similarity, name: str, first: int
) -> Rows:
    """Quantise rows from row ``first`` of a table on."""
    table = sp.csr_array(block, copy=True).astype(np.float32)
    table.sum_duplicates()
    if not np.isfinite(table.data).all():
        row = int(np.searchsorted(table.indptr, np.flatnonzero(~np.isfinite(table.data))[0], "right")) - 1
        raise ConfigError(
            f"row {first + row} of the {name} table holds a value that is not finite; train again"
        )
    table.eliminate_zeros()
    data = table.data.astype(np.float64)
    owner = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    n = table.shape[0]
    if values in ("f32", "f16"):
        with np.errstate(over="ignore"):
            stored = table.data.astype(np.float32 if values == "f32" else np.float16)
        if not np.isfinite(stored).all():
            raise ConfigError(
                f"the {name} table holds values above 65504, too large for f16; use f32 or int8"
            )
        scales = inverse_norms(stored, owner, n) if similarity == "cosine" else np.ones(n, np.float32)
        return _without_zeros(table, stored, scales)
    limit = _LIMIT[values]
    step = np.zeros(n)
    np.maximum.at(step, owner, np.abs(data))
    step /= limit
    step[step == 0] = 1.0
    if values == "int4":
        step *= _best_shrinks(data, step, owner, n, limit)
    whole = _round(data, step, owner, limit)
    if similarity == "cosine":
        scales = inverse_norms(whole, owner, n)
    else:
        if values == "int4":  # the step that fits the clipped integers best
            square = np.bincount(owner, whole * whole, minlength=n)
            step = np.where(
                square > 0, np.bincount(owner, whole * data, minlength=n) / np.maximum(square, 1), step
            )
        scales = step.astype(np.float32)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise ConfigError(f"the {name} table holds values too small or too large for a float32 scale")
    return _without_zeros(table, whole.astype(np.int8), scales)


def _round(
    data: NDArray[np.float64], step: NDArray[np.float64], owner: NDArray[np.int64], limit: int
) -> NDArray[np.float64]:
    return np.clip(np.rint(data / step[owner]), -limit, limit)


def _best_shrinks(
    data: NDArray[np.float64], step: NDArray[np.float64], owner: NDArray[np.int64], n: int, limit: int
) -> NDArray[np.float64]:
    """float64[n]: the factor on each row's step with the largest cosine between row and integers."""
    best, shrink = np.full(n, -1.0), np.ones(n)
    for factor in _INT4_SHRINKS:
        whole = _round(data, step * factor, owner, limit)
        norm = np.sqrt(np.bincount(owner, whole * whole, minlength=n))
        fit = np.bincount(owner, whole * data, minlength=n) / np.maximum(norm, 1.0)
        better = fit >= best
        best, shrink = np.where(better, fit, best), np.where(better, factor, shrink)
    return shrink


def inverse_norms(values: NDArray[np.generic], owner: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """float32[n]: 1 / Euclidean norm of each row; 1 where that is not a positive finite float32.

    Args:
        values: stored values, [nnz].
        owner: row of each value, int64[nnz].
        n: number of rows.
    """
    exact = values.astype(np.float64)
    return _inverse_roots(np.bincount(owner, exact * exact, minlength=n).astype(np.float64))


def row_inverse_norms(values: NDArray[np.generic], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """:func:`inverse_norms` of rows; faster for integers, whose sums are exact in any order."""
    n = len(indptr) - 1
    if values.dtype != np.int8:
        return inverse_norms(values, np.repeat(np.arange(n), np.diff(indptr)), n)
    from sparsedevice.runtime import _core

    squares = np.frombuffer(_core.row_squares(np.ascontiguousarray(indptr, np.int64), values), np.uint32)
    return _inverse_roots(squares.astype(np.float64))


def _inverse_roots(squares: NDArray[np.float64]) -> NDArray[np.float32]:
    norms = np.sqrt(squares)
    with np.errstate(over="ignore"):
        inverse = (1.0 / np.where(norms > 0, norms, 1.0)).astype(np.float32)
    # A row so short or so long that its inverse norm leaves float32 scores as if it were empty.
    usable: NDArray[np.float32] = np.where(np.isfinite(inverse) & (inverse > 0), inverse, np.float32(1))
    return usable


def _without_zeros(table: sp.csr_array, stored: NDArray[np.generic], scales: NDArray[np.float32]) -> Rows:
    keep = stored != 0
    indptr = np.concatenate(([0], np.cumsum(keep)))[table.indptr].astype(np.int64)
    return Rows(indptr, table.indices[keep].astype(np.int32), stored[keep], scales, table.shape[1])
