from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsedevice.sparse import _kernels
from sparsedevice.sparse.initial import random_shape
from sparsedevice.sparse.products import DenseProducts, SparseProducts, products_of
from sparsedevice.sparse.table import SparseTable


def table(seed: int, n_rows: int, dim: int, lengths: int | None) -> SparseTable:
    rng = np.random.default_rng(seed)
    sizes = np.full(n_rows, lengths) if lengths else rng.integers(1, 6, n_rows)
    return SparseTable.from_csr(random_shape(sizes, dim, rng))


@pytest.mark.parametrize("lengths", [3, None])
@pytest.mark.parametrize("shape", [(5, 7), (70, 600), (300, 129)])
def test_products_of_entries_are_those_of_dense_rows(lengths: int | None, shape: tuple[int, int]) -> None:
    users, items = (table(seed, n, 40, lengths) for seed, n in enumerate(shape))
    active = users.active(torch.arange(shape[0]))
    blocks = [
        (start, items.active(torch.arange(start, min(start + 100, shape[1]))))
        for start in range(0, shape[1], 100)
    ]
    sparse = products_of(users, active, items, blocks, torch.matmul)
    dense = DenseProducts(users, active, items, blocks, torch.matmul)
    assert isinstance(sparse, SparseProducts)
    slope = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            scores = torch.empty(shape)
            sparse.scores_(scores)
            found.append((scores, sparse.user_gradient(slope), sparse.item_gradient(slope, 2, shape[1])))
    finally:
        torch.set_num_threads(before)
    wanted = torch.empty(shape)
    dense.scores_(wanted)
    for one, two, expected in zip(
        *found, (wanted, dense.user_gradient(slope), dense.item_gradient(slope, 2, shape[1])), strict=True
    ):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


def test_dense_rows_and_full_ones_are_multiplied_densely() -> None:
    full = table(0, 4, 8, 3)
    active = full.active(torch.arange(4))
    assert isinstance(products_of(full, active, full, [(0, active)], torch.matmul), DenseProducts)


def test_arrays_that_do_not_fit_are_refused() -> None:
    pointers, columns, values = np.array([0, 1]), np.array([9], np.uint16), np.ones(1, np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        _kernels.row_products(
            pointers, columns, values, pointers, columns, values, 8, 0, 1, np.zeros((1, 1), np.float32)
        )
