from __future__ import annotations

import numpy as np
import scipy.sparse
import torch

from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.initial import random_shape
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.optimizer import normalise_rows, update_rows


def test_sparse_and_dense_tables_take_the_same_steps() -> None:
    """A table with every entry active is the dense table."""
    full = random_shape(np.full(6, 5), 5, np.random.default_rng(0))
    sparse, dense = SparseTable.from_csr(full), DenseTable(torch.from_numpy(full.toarray()))
    for step in range(4):
        rows = torch.tensor([0, 2, 5]) if step % 2 else torch.tensor([1, 2])
        gradient = torch.randn(rows.numel(), 5, generator=torch.Generator().manual_seed(step))
        for table in (sparse, dense):
            update_rows(table, table.active(rows), gradient, 0.1, unit_rows=True)
    np.testing.assert_array_equal(sparse.to_csr().toarray(), dense.to_csr().toarray())
    assert sparse.updates.tolist() == [2, 2, 4, 0, 0, 2]


def test_only_active_entries_of_the_rows_asked_for_change() -> None:
    table = SparseTable.from_csr(random_shape(np.array([1, 3, 4, 2]), 6, np.random.default_rng(1)))
    before = table.to_csr().toarray()
    rows = torch.tensor([1, 3])
    update_rows(table, table.active(rows), torch.randn(2, 6), 0.2, unit_rows=True)
    after = table.to_csr().toarray()
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(after[before == 0], 0)
    assert (after[[1, 3]] != before[[1, 3]]).any()
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, rtol=1e-6)


def test_first_step_has_the_length_of_the_rate_at_any_fan_in() -> None:
    for fan_in in (2, 30):
        table = SparseTable.from_csr(random_shape(np.full(3, fan_in), 40, np.random.default_rng(2)))
        before = table.values.clone().view(3, -1)
        update_rows(table, table.active(torch.arange(3)), torch.randn(3, 40), 0.01, unit_rows=True)
        moved = (table.values.view(3, -1) - before).norm(dim=1)
        torch.testing.assert_close(moved, torch.full((3,), 0.01), rtol=0.02, atol=0)


def test_normalise_leaves_zero_rows() -> None:
    table = DenseTable(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    normalise_rows(table, torch.tensor([0, 1]))
    assert table.values.tolist() == [0.6000000238418579, 0.800000011920929, 0.0, 0.0]


def test_powerpropagation_steps_on_theta() -> None:
    """A step on w = θ|θ| is a step of the plain optimiser on θ, with the gradient that autograd finds."""
    torch.manual_seed(3)
    w = torch.nn.functional.normalize(torch.randn(4, 6))
    target = torch.randn(4, 6)
    table = DenseTable(w.clone())
    table.power = 2.0
    rows = torch.arange(4)
    update_rows(table, table.active(rows), target, 0.05, unit_rows=True)
    theta = (w.sign() * w.abs().sqrt()).requires_grad_()
    value = theta * theta.abs()
    unit = value / value.norm(dim=1, keepdim=True)
    (unit * target).sum().backward()
    assert theta.grad is not None
    # Entries below a tenth of the row's root mean square have a steeper slope than autograd's.
    large = theta.abs() > 0.1 * theta.norm(dim=1, keepdim=True) / 6**0.5
    assert large.all()
    length = theta.detach().norm(dim=1, keepdim=True)
    stepped = theta.detach() - 0.05 * length * torch.nn.functional.normalize(theta.grad)
    expected = torch.nn.functional.normalize(stepped * stepped.abs())
    torch.testing.assert_close(table.values.view(4, 6), expected, rtol=1e-4, atol=1e-5)


def test_powerpropagation_lets_new_entries_leave_zero() -> None:
    table = SparseTable.from_csr(scipy.sparse.csr_array(np.array([[1.0, 0.5, 0, 0]], np.float32)))
    table.restructure(torch.ones(2, dtype=torch.bool), torch.tensor([0]), torch.tensor([3]))
    table.power = 2.0
    active = table.active(torch.tensor([0]))
    update_rows(table, active, torch.tensor([[0.0, 0.0, 0.0, 1.0]]), 0.1, unit_rows=True)
    assert table.values[2] < 0
