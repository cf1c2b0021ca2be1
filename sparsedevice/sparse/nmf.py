"""SparseRec's initial shape: nonnegative matrix factorisation whose components both tables share.

The paper says that the mask starts from NMF; how is not known to us, so this is our design. R ≈ W Hᵀ with W,
H ≥ 0 is fitted by the multiplicative updates of Lee and Seung, and only the largest entries of each row are
ever kept: between two half-steps W and H are sparse matrices within twice the budget, and a half-step works
on one block of rows at a time. Component j is the same for users and items, so that the supports of a user
and of the items she likes overlap: with random supports most sparse products are empty.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.sparse.initial import top_columns, unit_rows

BLOCK_ELEMENTS = 1 << 18
SEED_USERS = 8
EPSILON = 1e-9


def nmf_shape(
    matrix: scipy.sparse.csr_array,
    dim: int,
    user_lengths: NDArray[np.int64],
    item_lengths: NDArray[np.int64],
    generator: np.random.Generator,
    *,
    rounds: int = 4,
    inner: int = 4,
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """User and item rows whose supports and start values come from one factorisation.

    Args:
        matrix: interactions, csr_array (n_users x n_items).
        dim: number of components, the width of both tables.
        user_lengths: active entries of each user row, int64[n_users].
        item_lengths: active entries of each item row, int64[n_items].
        generator: source of randomness.
        rounds: alternations between the two factors.
        inner: multiplicative updates of a block in each of them.

    Returns:
        users csr_array float32 (n_users x dim) and items csr_array float32 (n_items x dim), rows of length 1.
    """
    normalised = degree_normalised(matrix)
    transposed = scipy.sparse.csr_array(normalised.T)
    items = _seed_factor(transposed, dim, generator)
    users = _half_step(normalised, items, _wider(user_lengths, dim), inner)
    for round_ in range(rounds):
        last = round_ == rounds - 1
        items = _half_step(transposed, users, item_lengths if last else _wider(item_lengths, dim), inner)
        users, items = _balance(users, items)
        users = _half_step(normalised, items, user_lengths if last else _wider(user_lengths, dim), inner)
    return (
        unit_rows(_fill(users, user_lengths, generator)),
        unit_rows(_fill(items, item_lengths, generator)),
    )


def degree_normalised(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Each entry divided by the roots of its row's and its column's number of entries, float32."""
    users = np.maximum(np.diff(matrix.indptr), 1) ** -0.5
    items = np.maximum(np.bincount(matrix.indices, minlength=matrix.shape[1]), 1) ** -0.5
    data = users[np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))] * items[matrix.indices]
    return scipy.sparse.csr_array(
        (data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _seed_factor(
    transposed: scipy.sparse.csr_array, dim: int, generator: np.random.Generator
) -> scipy.sparse.csr_array:
    """Each component starts as the sum of a few random users' histories: sparse, in the data's own span."""
    n_users = transposed.shape[1]
    rows = generator.integers(0, n_users, size=dim * SEED_USERS)
    pick = scipy.sparse.csr_array(
        (np.ones(len(rows), np.float32), (rows, np.repeat(np.arange(dim), SEED_USERS))), shape=(n_users, dim)
    )
    return scipy.sparse.csr_array(transposed @ pick)


def _wider(lengths: NDArray[np.int64], dim: int) -> NDArray[np.int64]:
    return np.minimum(2 * lengths, dim)


def _half_step(
    matrix: scipy.sparse.csr_array, other: scipy.sparse.csr_array, lengths: NDArray[np.int64], inner: int
) -> scipy.sparse.csr_array:
    """The nonnegative factor with ``matrix ≈ factor @ other.T``, cut to each row's largest entries."""
    n_rows, dim = matrix.shape[0], other.shape[1]
    gram = (other.T @ other).toarray().astype(np.float32)
    block_rows = max(1, min(BLOCK_ELEMENTS // dim, n_rows // 4))
    data, columns = [], []
    for start in range(0, n_rows, block_rows):
        target = (matrix[start : start + block_rows] @ other).toarray()
        factor = target.copy()
        for _ in range(inner):
            factor *= target / (factor @ gram + EPSILON)
        block_lengths = lengths[start : start + block_rows]
        chosen = top_columns(factor, block_lengths)
        columns.append(chosen)
        data.append(factor[np.repeat(np.arange(len(block_lengths)), block_lengths), chosen])
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    return scipy.sparse.csr_array(
        (np.concatenate(data), np.concatenate(columns), row_start), shape=(n_rows, dim)
    )


def _balance(
    users: scipy.sparse.csr_array, items: scipy.sparse.csr_array
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Give component j the same norm in both factors, so that their rows are cut by the same measure."""

    def norms(factor: scipy.sparse.csr_array) -> NDArray[np.float64]:
        return np.sqrt(
            np.bincount(
                factor.indices, weights=np.square(factor.data, dtype=np.float64), minlength=factor.shape[1]
            )
        )

    ratio = np.sqrt((norms(users) + EPSILON) / (norms(items) + EPSILON))
    users.data = (users.data / ratio[users.indices]).astype(np.float32)
    items.data = (items.data * ratio[items.indices]).astype(np.float32)
    return users, items


def _fill(
    factor: scipy.sparse.csr_array, lengths: NDArray[np.int64], generator: np.random.Generator
) -> scipy.sparse.csr_array:
    """Give entries that the factorisation left at zero a small random value, to hold the column open."""
    row = np.repeat(np.arange(factor.shape[0]), lengths)
    largest = np.zeros(factor.shape[0])
    np.maximum.at(largest, row, factor.data)
    noise = generator.standard_normal(len(factor.data)) * np.where(largest > 0, 0.05 * largest, 1.0)[row]
    data = np.where(factor.data > 0, factor.data, noise).astype(np.float32)
    return scipy.sparse.csr_array((data, factor.indices, factor.indptr), shape=factor.shape)
