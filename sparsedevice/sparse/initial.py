"""Initial shapes that look at no data but the row counts: random columns."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

ROWS_PER_BLOCK = 1024


def random_shape(
    lengths: NDArray[np.int64],
    dim: int,
    generator: np.random.Generator,
    columns_weight: NDArray[np.float64] | None = None,
) -> scipy.sparse.csr_array:
    """Columns drawn without replacement and normal values, rows of length 1.

    Args:
        lengths: active entries of each row, int64[n], each between 1 and ``dim``.
        dim: width.
        generator: source of randomness.
        columns_weight: float64[dim], relative chance of each column; uniform where None.

    Returns:
        csr_array float32 (n x dim).
    """
    log_weight = np.zeros(dim) if columns_weight is None else np.log(columns_weight)
    indices = []
    for start in range(0, len(lengths), ROWS_PER_BLOCK):
        block = lengths[start : start + ROWS_PER_BLOCK]
        # The largest keys log w + Gumbel noise are a weighted draw without replacement.
        keys = log_weight + generator.gumbel(size=(len(block), dim))
        indices.append(top_columns(keys, block))
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.concatenate(indices) if indices else np.zeros(0, np.int32)
    values = generator.standard_normal(len(columns)).astype(np.float32)
    return unit_rows(scipy.sparse.csr_array((values, columns, row_start), shape=(len(lengths), dim)))


def block_shape(
    shape: scipy.sparse.csr_array, blocks: int, per_block: int, generator: np.random.Generator
) -> scipy.sparse.csr_array:
    """The largest ``per_block`` entries of each row in each of ``blocks`` equal ranges of columns.

    Where a range has too few, random columns with small values fill it up. Rows have length 1.
    """
    n_rows, dim = shape.shape
    columns, data = [], []
    for start in range(0, n_rows, ROWS_PER_BLOCK):
        value = shape[start : start + ROWS_PER_BLOCK].toarray()
        size = np.abs(value)
        least = 0.05 * size.max(axis=1, keepdims=True)
        noise = (least * generator.standard_normal(value.shape)).astype(np.float32)
        # Any entry is before any column that only fills up.
        keys = np.where(size > 0, 1 + size, generator.random(value.shape))
        lengths = np.full(len(value) * blocks, per_block, np.int64)
        within = top_columns(keys.reshape(-1, dim // blocks), lengths).reshape(-1, blocks, per_block)
        chosen = (within + np.arange(blocks)[:, None] * (dim // blocks)).reshape(len(value), -1)
        columns.append(chosen.reshape(-1))
        data.append(np.take_along_axis(np.where(size > 0, value, noise), chosen, axis=1).reshape(-1))
    row_start = np.arange(n_rows + 1) * blocks * per_block
    return unit_rows(
        scipy.sparse.csr_array((np.concatenate(data), np.concatenate(columns), row_start), shape=shape.shape)
    )


def top_columns(keys: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """Columns of the ``lengths[r]`` largest keys of each row r, ascending in a row, int32[sum]."""
    longest = int(lengths.max())
    negated = -keys
    if longest < keys.shape[1]:
        columns = np.argpartition(negated, longest - 1, axis=1)[:, :longest]
    else:
        columns = np.broadcast_to(np.arange(longest), keys.shape)
    if (lengths == longest).all():
        return np.sort(columns, axis=1).reshape(-1).astype(np.int32)
    order = np.argsort(np.take_along_axis(negated, columns, axis=1), axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    columns = np.where(np.arange(longest) < lengths[:, None], columns, keys.shape[1])
    columns = np.sort(columns, axis=1)
    chosen: NDArray[np.int32] = columns[columns < keys.shape[1]].astype(np.int32)
    return chosen


def unit_rows(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Scale each row to length 1; all-zero rows stay zero. Every stored entry stays stored."""
    lengths = np.diff(matrix.indptr)
    row = np.repeat(np.arange(matrix.shape[0]), lengths)
    norm = np.sqrt(
        np.bincount(row, weights=np.square(matrix.data, dtype=np.float64), minlength=matrix.shape[0])
    )
    data = (matrix.data / np.where(norm > 0, norm, 1.0)[row]).astype(np.float32)
    return scipy.sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
