from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.table import SparseTable, column_dtype


def random_csr(seed: int, rows: int, dim: int, fan_in: int | None) -> scipy.sparse.csr_array:
    rng = np.random.default_rng(seed)
    lengths = np.full(rows, fan_in) if fan_in else rng.integers(1, dim + 1, rows)
    columns = np.concatenate([np.sort(rng.permutation(dim)[:n]) for n in lengths])
    values = rng.standard_normal(len(columns)).astype(np.float32)
    return scipy.sparse.csr_array(
        (values, columns, np.concatenate([[0], np.cumsum(lengths)])), shape=(rows, dim)
    )


@pytest.mark.parametrize("fan_in", [None, 3])
def test_expand_and_round_trip_agree_with_scipy(fan_in: int | None) -> None:
    matrix = random_csr(0, 20, 7, fan_in)
    table = SparseTable.from_csr(matrix)
    rows = torch.tensor([4, 0, 19])
    active = table.active(rows)
    np.testing.assert_array_equal(table.expand(active).numpy(), matrix.toarray()[[4, 0, 19]])
    np.testing.assert_array_equal(table.to_csr().toarray(), matrix.toarray())
    sums = active.row_sum(table.values[active.entry])
    np.testing.assert_allclose(sums.numpy(), matrix.toarray()[[4, 0, 19]].sum(1), rtol=1e-5)
    per_entry = active.per_entry(torch.tensor([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(per_entry.numpy(), (active.local + 1).numpy())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), dim=st.integers(2, 9))
def test_restructure_agrees_with_a_dense_mask(seed: int, rows: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = random_csr(seed, rows, dim, None)
    table = SparseTable.from_csr(matrix)
    table.first.copy_(torch.arange(1.0, table.nnz + 1))
    old_mask = np.zeros((rows, dim), bool)
    entry_rows = np.repeat(np.arange(rows), np.diff(matrix.indptr))
    old_mask[entry_rows, matrix.indices] = True
    moments = np.zeros((rows, dim))
    moments[entry_rows, matrix.indices] = table.first.numpy()
    keep = rng.random(table.nnz) < 0.6
    kept_mask = np.zeros((rows, dim), bool)
    kept_mask[entry_rows[keep], matrix.indices[keep]] = True
    grow = (rng.random((rows, dim)) < 0.4) & ~kept_mask
    row, column = (torch.from_numpy(a) for a in np.nonzero(grow))
    shuffled = torch.randperm(row.numel(), generator=torch.Generator().manual_seed(seed))

    table.restructure(torch.from_numpy(keep), row[shuffled], column[shuffled])

    csr = table.to_csr()
    assert csr.has_sorted_indices
    mask = np.zeros((rows, dim), bool)
    mask[np.repeat(np.arange(rows), np.diff(csr.indptr)), csr.indices] = True
    np.testing.assert_array_equal(mask, kept_mask | grow)
    np.testing.assert_array_equal(csr.toarray(), matrix.toarray() * kept_mask)
    # Moments survive where the entry did, and start from zero where it came (back) to life.
    csr.data = table.first.numpy()
    np.testing.assert_array_equal(csr.toarray(), moments * kept_mask)


def test_shrink_keeps_the_largest_of_each_row() -> None:
    matrix = random_csr(3, 15, 8, 6)
    table = SparseTable.from_csr(matrix)
    lengths = torch.arange(15) % 6 + 1
    table.shrink(lengths)
    assert torch.equal(table.row_lengths, lengths)
    for row, length in enumerate(lengths.tolist()):
        largest = np.sort(np.abs(matrix.toarray()[row]))[::-1][:length]
        kept = np.sort(np.abs(table.to_csr().toarray()[row]))[::-1][:length]
        np.testing.assert_array_equal(kept, largest)


@pytest.mark.parametrize(
    ("dim", "dtype"), [(256, torch.uint8), (257, torch.int16), (2**15, torch.int16), (2**15 + 1, torch.int32)]
)
def test_columns_take_the_smallest_type_and_survive_it(dim: int, dtype: torch.dtype) -> None:
    assert column_dtype(dim) == dtype
    matrix = scipy.sparse.csr_array(([1.0, 2.0], [0, dim - 1], [0, 2]), shape=(1, dim))
    table = SparseTable.from_csr(matrix)
    assert table.columns.dtype == dtype
    expanded = table.expand(table.active(torch.tensor([0])))
    assert expanded[0, 0] == 1.0
    assert expanded[0, dim - 1] == 2.0


def test_bytes_follow_the_active_entries() -> None:
    table = SparseTable.from_csr(random_csr(0, 100, 200, 20))
    assert table.nbytes() == 100 * 20 * (4 + 4 + 1) + 101 * 8 + 100 * 4 + 100 * 4


def test_dense_table_speaks_the_same_language() -> None:
    values = torch.randn(9, 5)
    table = DenseTable(values)
    rows = torch.tensor([8, 2])
    active = table.active(rows)
    assert torch.equal(table.expand(active), values[rows])
    assert torch.equal(active.row_sum(table.values[active.entry]), values[rows].sum(1))
    np.testing.assert_array_equal(table.to_csr().toarray(), values.numpy())
