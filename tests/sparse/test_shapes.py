from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.errors import ConfigError
from sparsedevice.sparse.budget import fixed_lengths, global_lengths
from sparsedevice.sparse.initial import random_shape, top_columns
from sparsedevice.sparse.nmf import nmf_shape


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 1000), min_size=1, max_size=40),
    dim=st.integers(1, 64),
    sparsity=st.floats(0, 0.99),
    power=st.floats(0, 1),
)
def test_global_budget_is_spent_exactly(counts: list[int], dim: int, sparsity: float, power: float) -> None:
    lengths = global_lengths(np.array(counts), dim, sparsity, power=power)
    assert lengths.min() >= 1
    assert lengths.max() <= dim
    assert lengths.sum() == max(len(counts), int(len(counts) * dim * (1 - sparsity) + 1e-6))


def test_global_budget_prefers_popular_rows() -> None:
    lengths = global_lengths(np.array([1, 10, 100, 1000]), 64, 0.8)
    assert (np.diff(lengths) > 0).all()


def test_fixed_budget_never_exceeds_the_sparsity() -> None:
    assert fixed_lengths(10, 128, 0.9).tolist() == [12] * 10
    assert fixed_lengths(3, 4, 0.99).tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="sparsity 1"):
        fixed_lengths(3, 4, 1.0)


def test_top_columns_agrees_with_a_sort() -> None:
    keys = np.random.default_rng(0).standard_normal((30, 11))
    lengths = np.random.default_rng(1).integers(1, 12, 30)
    expected = np.concatenate([np.sort(np.argsort(-keys[r])[:n]) for r, n in enumerate(lengths)])
    np.testing.assert_array_equal(top_columns(keys, lengths), expected)


def test_random_shape_has_the_lengths_asked_for_and_unit_rows() -> None:
    lengths = np.array([1, 5, 8, 3])
    shape = random_shape(lengths, 8, np.random.default_rng(0))
    np.testing.assert_array_equal(np.diff(shape.indptr), lengths)
    np.testing.assert_allclose(np.linalg.norm(shape.toarray(), axis=1), 1, rtol=1e-6)


def planted(n_users: int = 120, n_items: int = 80, groups: int = 4) -> scipy.sparse.csr_array:
    rng = np.random.default_rng(0)
    likes = np.arange(n_users)[:, None] % groups == np.arange(n_items)[None, :] % groups
    return scipy.sparse.csr_array((likes & (rng.random(likes.shape) < 0.6)).astype(np.float32))


def test_nmf_shape_finds_planted_groups_and_shares_components() -> None:
    matrix = planted()
    users, items = nmf_shape(matrix, 8, np.full(120, 2), np.full(80, 2), np.random.default_rng(0))
    np.testing.assert_array_equal(np.diff(users.indptr), 2)
    np.testing.assert_array_equal(np.diff(items.indptr), 2)
    scores = users.toarray() @ items.toarray().T
    same = np.arange(120)[:, None] % 4 == np.arange(80)[None, :] % 4
    assert scores[same].mean() > 5 * max(1e-6, abs(scores[~same].mean()))
    # A random shape of the same budget leaves most products of a user and her items empty.
    random_users = random_shape(np.full(120, 2), 8, np.random.default_rng(1))
    random_items = random_shape(np.full(80, 2), 8, np.random.default_rng(2))
    overlap = ((users != 0).astype(int) @ (items != 0).astype(int).T).toarray() > 0
    random_overlap = ((random_users != 0).astype(int) @ (random_items != 0).astype(int).T).toarray() > 0
    assert overlap[same].mean() > random_overlap[same].mean() + 0.3


def test_nmf_shape_is_the_same_for_the_same_seed() -> None:
    first, second = (
        nmf_shape(planted(), 8, np.full(120, 3), np.full(80, 2), np.random.default_rng(7)) for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        assert (a != b).nnz == 0
