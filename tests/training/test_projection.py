from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsedevice.sparse import _kernels
from sparsedevice.sparse.initial import block_shape, random_shape
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.projection import Step, project_in_c, project_in_torch, project_rows


@pytest.mark.parametrize("fan_in", [3, None])
def test_projection_is_hard_thresholding_of_the_dense_step(fan_in: int | None) -> None:
    """Against the same step on dense rows, in numpy, for equal and for unequal rows."""
    lengths = np.full(5, fan_in) if fan_in else np.array([1, 4, 2, 6, 3])
    table = SparseTable.from_csr(random_shape(lengths, 9, np.random.default_rng(3)))
    rows = torch.tensor([0, 2, 3])
    before = table.to_csr().toarray()[rows.numpy()]
    gradient = torch.randn(3, 9, generator=torch.Generator().manual_seed(5))
    project_rows(table, table.active(rows), gradient, 0.7, explore=0.4)

    tangent = gradient.numpy() - (gradient.numpy() * before).sum(1, keepdims=True) * before
    norm = np.sqrt(((tangent * (before != 0)) ** 2).sum(1, keepdims=True))
    norm = np.maximum(norm, 0.1 * np.linalg.norm(tangent, axis=1, keepdims=True))
    stepped = before - 0.7 / norm * tangent * np.where(before != 0, 1.0, 0.4)
    expected = np.zeros_like(stepped)
    for place, length in enumerate(lengths[rows.numpy()]):
        kept = np.argsort(-np.abs(stepped[place]))[:length]
        expected[place, kept] = stepped[place, kept] / np.linalg.norm(stepped[place, kept])
    csr = table.to_csr()
    csr.check_format(full_check=True)
    assert csr.has_sorted_indices
    np.testing.assert_allclose(csr.toarray()[rows.numpy()], expected, atol=1e-5)
    np.testing.assert_array_equal(np.diff(csr.indptr), lengths)
    # First moments: a tenth of the gradient where the entry was active, zero where it is new.
    csr.data = table.first.numpy()
    moments = np.where((before != 0) & (expected != 0), 0.1 * tangent, 0.0)
    np.testing.assert_allclose(csr.toarray()[rows.numpy()], moments, atol=1e-6)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_projection_keeps_each_block_s_number_of_entries(blocks: int) -> None:
    generator = np.random.default_rng(0)
    lengths = np.full(20, 4, np.int64)
    shape = block_shape(random_shape(lengths, 16, generator), blocks, 4 // blocks, generator)
    table = SparseTable.from_csr(shape)
    torch.manual_seed(0)
    rows = torch.arange(20)
    before = table.columns.clone()
    for _ in range(5):
        project_rows(table, table.active(rows), torch.randn(20, 16), 0.5, explore=1.0, blocks=blocks)
        column = table.columns.view(20, 4).long()
        counts = torch.zeros(20, blocks).scatter_add_(1, column // (16 // blocks), torch.ones(20, 4))
        assert (counts == 4 // blocks).all()
    assert (table.columns != before).any()


@pytest.mark.parametrize(
    ("dim", "fan_in", "blocks"),
    [(7, 1, 1), (7, 7, 1), (48, 12, 3), (64, 6, 1), (256, 25, 1), (1000, 20, 4), (40_000, 5, 1)],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_c_and_torch_take_the_same_steps(dim: int, fan_in: int, blocks: int, threads: int) -> None:
    """Columns of one, two and four bytes, one part and several."""
    rng = np.random.default_rng(dim)
    shape = random_shape(np.full(150, fan_in), dim, rng)
    if blocks > 1:
        shape = block_shape(shape, blocks, fan_in // blocks, rng)
    tables = [SparseTable.from_csr(shape) for _ in range(2)]
    generator = torch.Generator().manual_seed(dim)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for turn in range(3):
            rows = torch.randperm(150, generator=generator)[:130]
            gradient = torch.randn(130, dim, generator=generator)
            for table, project in zip(tables, (project_in_c, project_in_torch), strict=True):
                count = torch.full((130,), turn + 1.0)
                step = Step(1 - 0.9**count, 1 - 0.99**count, 0.3, 0.4, 0.9, 0.99, blocks)
                project(table, table.active(rows), gradient, step)
    finally:
        torch.set_num_threads(before)
    one, two = tables
    assert torch.equal(one.columns, two.columns)
    for name in ("values", "first", "second"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=1e-4, atol=1e-6)


def test_of_equal_entries_the_lower_column_stays() -> None:
    """Zero gradients leave a row as it is; entries of one size change places with lower columns alone."""
    table = SparseTable(1, 6, torch.tensor([0, 2]), torch.tensor([2, 4], dtype=torch.uint8), torch.ones(2))
    rows = torch.tensor([0])
    project_rows(table, table.active(rows), torch.zeros(1, 6), 0.5, explore=1.0)
    assert table.columns.tolist() == [2, 4]
    table.values.zero_()
    project_rows(table, table.active(rows), torch.zeros(1, 6), 0.5, explore=1.0)
    assert table.columns.tolist() == [0, 1]


def test_a_gradient_that_is_not_a_number_breaks_nothing_else() -> None:
    table = SparseTable.from_csr(random_shape(np.full(3, 2), 9, np.random.default_rng(0)))
    before = table.to_csr().toarray()
    gradient = torch.zeros(1, 9)
    gradient[0, 3:] = torch.nan
    project_rows(table, table.active(torch.tensor([1])), gradient, 0.5, explore=1.0)
    table.to_csr().check_format(full_check=True)
    np.testing.assert_array_equal(table.to_csr().toarray()[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize(
    "wrong", ["row", "column", "gradient", "bias", "second", "parts", "width", "negative"]
)
def test_arrays_that_do_not_fit_are_refused(wrong: str) -> None:
    columns, values, first = np.array([1, 5, 0, 3], np.uint8), np.ones(4, np.float32), np.ones(4, np.float32)
    second, rows, bias = np.ones(2, np.float32), np.array([1]), np.ones(1, np.float32)
    gradient, parts = np.ones((1, 6), np.float32), 1
    if wrong == "row":
        rows = np.array([2])
    elif wrong == "negative":
        rows = np.array([-1])
    elif wrong == "column":
        columns[2] = 6
    elif wrong == "gradient":
        gradient = gradient[:, :5].copy()
    elif wrong == "bias":
        bias = np.ones(2, np.float32)
    elif wrong == "second":
        second = np.ones(3, np.float32)
    elif wrong == "parts":
        parts = 4
    else:
        columns = columns.astype(np.int64)
    with pytest.raises(ValueError, match="do not fit"):
        _kernels.project_rows(
            columns, values, first, second, 6, parts, rows, gradient, bias, bias, 0.1, 1.0, 0.9, 0.99
        )
