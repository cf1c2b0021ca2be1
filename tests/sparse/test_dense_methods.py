"""Methods that keep more than what is active: what they compute, and that they obey the budget meanwhile."""

from __future__ import annotations

import pytest
import torch

from sparsedevice.sparse.columns import ColumnMover
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.dpf import MASK_PERIOD, FeedbackMover, MaskedTable
from sparsedevice.sparse.pep import SHIFT_PERIOD, ThresholdMover, ThresholdTable
from sparsedevice.sparse.shadow import largest_in_table
from sparsedevice.sparse.structured import Phases
from sparsedevice.sparse.table import SparseTable

ROWS, DIM = 30, 8


def unit_rows(seed: int = 0, rows: int = ROWS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, DIM, generator=generator))


@pytest.mark.parametrize("global_budget", [False, True])
def test_dpf_follows_the_cubic_and_masks_the_smallest(global_budget: bool) -> None:
    table = MaskedTable(unit_rows())
    mover = FeedbackMover(table, torch.full((ROWS,), 2), 0.5, global_budget=global_budget)
    n_steps = 10 * MASK_PERIOD
    for step in range(n_steps):
        progress = step / n_steps
        mover.start_step(torch.arange(3), last=False, progress=progress)
        masked_at = step // MASK_PERIOD * MASK_PERIOD / n_steps
        sparsity = 0.75 * (1 - max(0.0, 1 - masked_at / 0.5) ** 3)
        assert table.nnz == pytest.approx(ROWS * DIM * (1 - sparsity), abs=ROWS / 2)
    assert table.nnz == ROWS * 2
    weight = table.values.view(ROWS, DIM).abs()
    shape = table.shape(torch.arange(ROWS))
    if global_budget:
        torch.testing.assert_close(shape, largest_in_table(weight, ROWS * 2))
        assert int(shape.sum(1).min()) >= 1
    else:
        assert (shape.sum(1) == 2).all()
        assert (weight.masked_fill(~shape, 9).amin(1) >= weight.masked_fill(shape, 0).amax(1)).all()


def test_dpf_applies_the_gradient_at_the_pruned_weights_to_all_of_them() -> None:
    table = MaskedTable(unit_rows())
    FeedbackMover(table, torch.full((ROWS,), 3), 1.0, global_budget=False).end_period(0, 1.0)
    rows = torch.tensor([4, 9])
    active = table.active(rows)
    pruned = table.pruned(rows).clone().requires_grad_()
    target = unit_rows(1, 2)
    unit = torch.nn.functional.normalize(pruned)
    torch.testing.assert_close(table.expand(active), unit.detach())
    (unit * target).sum().backward()
    pulled = table.pull_back(active, target, 0.1)
    torch.testing.assert_close(pulled, pruned.grad)
    assert (pulled[~table.shape(rows)] != 0).all()


@pytest.mark.parametrize("kind", ["row", "column", "global"])
def test_pep_computes_the_soft_threshold_and_its_gradients(kind: str) -> None:
    table = ThresholdTable(unit_rows(), kind)
    table.logits.copy_(torch.linspace(-0.3, 0.3, table.logits.numel()))
    table.shift_to(ROWS * 4)
    assert table.nnz == pytest.approx(ROWS * 4, abs=2)
    rows = torch.tensor([0, 7, 29])
    weight = table.raw(rows).clone().requires_grad_()
    logits = table.logits.clone().requires_grad_()
    of_rows = logits[rows][:, None] if kind == "row" else logits
    soft = weight.sign() * torch.relu(weight.abs() - torch.sigmoid(of_rows + table.shift))
    target = unit_rows(1, 3)
    (torch.nn.functional.normalize(soft) * target).sum().backward()
    active = table.active(rows)
    torch.testing.assert_close(table.expand(active), torch.nn.functional.normalize(soft).detach())
    before = table.logits.clone()
    pulled = table.pull_back(active, target, 1.0)
    torch.testing.assert_close(pulled, weight.grad, rtol=1e-4, atol=1e-6)
    # A threshold moves against its gradient; the length of its first step is the same for all.
    assert logits.grad is not None
    moved = table.logits - before
    assert (moved.sign() == -logits.grad.sign()).all()
    assert (moved != 0).any()


def test_pep_counts_down_to_the_budget_and_starts_over_from_the_initial_values() -> None:
    initial = unit_rows()
    mover = ThresholdMover(ThresholdTable(initial.clone(), "row"), ROWS * 2, 0.5, lambda: initial)
    table = mover.table
    assert isinstance(table, ThresholdTable)
    counts = []
    for step in range(5 * SHIFT_PERIOD):
        progress = step / (10 * SHIFT_PERIOD)
        mover.start_step(torch.arange(3), last=False, progress=progress)
        counts.append(table.nnz)
        allowed = mover.entries(step // SHIFT_PERIOD * SHIFT_PERIOD / (10 * SHIFT_PERIOD))
        assert table.nnz <= allowed + 2
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == ROWS * DIM
    table.values.mul_(0.5).add_(0.01)
    expected = largest_in_table(table.margins(), ROWS * 2)
    assert mover.end_period(4, 0.49) is None
    assert mover.end_period(5, 0.5) is not None
    found = mover.table
    assert isinstance(found, SparseTable)
    assert found.nnz == ROWS * 2
    torch.testing.assert_close(torch.from_numpy(found.to_csr().toarray()), initial * expected)
    assert (found.row_lengths >= 1).all()
    assert not found.first.any()
    assert found.nbytes() < table.nbytes() / 2


def test_columns_go_from_all_tables_and_come_back_without_changing_scores() -> None:
    users, items = DenseTable(unit_rows(0)), DenseTable(unit_rows(1))
    mover = ColumnMover(users, [items], Phases(1, 0.5, "full"), 0.5, seed=0)
    # The loss is the score of the first rows: a column's importance is its squared product there.
    rows = torch.tensor([0])
    assert mover.start_step(rows, last=True, progress=0.3)
    mover.observe(rows, items.values.view(ROWS, DIM)[rows])
    x, y = (table.values.view(ROWS, DIM).clone() for table in (users, items))
    tangent = y[0] - (x[0] * y[0]).sum() * x[0]
    kept = torch.topk((x[0] * tangent).abs(), 4).indices.sort().values
    mover.end_period(0, 0.4)
    assert mover.is_pruned
    assert users.dim == items.dim == 4
    assert users.nbytes() == ROWS * (4 * 8 + 8)
    torch.testing.assert_close(users.values.view(ROWS, 4), torch.nn.functional.normalize(x[:, kept]))
    assert not mover.start_step(rows, last=True, progress=0.6)
    before = users.values.view(ROWS, 4) @ items.values.view(ROWS, 4).T
    mover.end_period(1, 0.75)
    assert users.dim == items.dim == 8
    after = users.values.view(ROWS, 8) @ items.values.view(ROWS, 8).T
    scale = after / before
    torch.testing.assert_close(scale, scale[:1].expand(ROWS, -1), rtol=1e-3, atol=1e-4)
