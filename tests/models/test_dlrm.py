from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsedevice.data.clicks import CategoryField, Clicks, ClickSchema, NumberField
from sparsedevice.models.dlrm import DLRM, new_parameters
from sparsedevice.models.dlrm_units import AlternatingUnits, initial_rows
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.structured import Phases
from sparsedevice.sparse.table import SparseTable

DIM = 6
FIELDS = (
    CategoryField("user", ("a", "b", "c"), 0, 1),
    CategoryField("tags", ("x", "y"), 4, 3),
    CategoryField("hour", ("1",), 7, 1),
)
ROWS = np.array([[1, 5, 6, -1, 8], [0, 4, -1, -1, 7], [3, 6, 5, 4, 8], [1, 5, -1, -1, 8]], np.int32)


def clicks(n_numbers: int) -> Clicks:
    numbers = np.random.default_rng(0).standard_normal((len(ROWS), n_numbers)).astype(np.float32)
    return Clicks(np.array([1, 0, 0, 1], np.uint8), ROWS, numbers)


def model(n_numbers: int, bottom: tuple[int, ...] = (5,), top: tuple[int, ...] = (8, 4)) -> DLRM:
    schema = ClickSchema(FIELDS, tuple(NumberField(f"n{i}", 0.0, 1.0) for i in range(n_numbers)))
    generator = torch.Generator().manual_seed(1)
    parameters = new_parameters(schema, DIM, bottom, top, generator, "cpu")
    for name, value in parameters.values.items():
        if name.endswith("bias"):
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return DLRM(schema, DenseTable(2 * initial_rows(schema.n_rows, DIM, generator)), parameters)


def by_hand(dlrm: DLRM, part: Clicks) -> np.ndarray:
    """The paper's equations, example by example in float64."""
    values = {name: value.double().numpy() for name, value in dlrm.parameters.values.items()}
    table = dlrm.table.to_csr().toarray().astype(np.float64)

    def layers(x: np.ndarray, tower: str, last_relu: bool) -> np.ndarray:
        n = sum(name.startswith(tower) and name.endswith("weight") for name in values)
        for k in range(n):
            x = values[f"{tower}.{k}.weight"] @ x + values[f"{tower}.{k}.bias"]
            if k < n - 1 or last_relu:
                x = np.maximum(x, 0)
        return x

    out = []
    for slots, numbers in zip(part.rows, part.numbers, strict=True):
        bottom = values["constant"] if "constant" in values else layers(numbers, "bottom", True)
        vectors = [bottom]
        for start, stop in ((0, 1), (1, 4), (4, 5)):
            rows = slots[start:stop]
            vectors.append(table[rows[rows >= 0]].mean(axis=0))
        products = [vectors[i] @ vectors[j] for i in range(4) for j in range(i)]
        out.append(layers(np.concatenate([bottom, products]), "top", False)[0])
    return np.array(out)


@pytest.mark.parametrize("n_numbers", [0, 2])
def test_scores_are_the_papers_equations(n_numbers: int) -> None:
    dlrm, part = model(n_numbers), clicks(n_numbers)
    np.testing.assert_allclose(dlrm.score(part, batch_rows=3), by_hand(dlrm, part), rtol=2e-5, atol=1e-6)
    sparse = DLRM(dlrm.schema, SparseTable.from_csr(dlrm.table.to_csr()), dlrm.parameters)
    np.testing.assert_allclose(sparse.score(part), dlrm.score(part), rtol=1e-5)


def test_macs_are_the_weights_and_the_products() -> None:
    with_numbers, without = model(2), model(0)
    top = (DIM + 6) * 8 + 8 * 4 + 4
    assert with_numbers.macs() == (2 * 5 + 5 * DIM + 6 * DIM + top, 3 * (5 * DIM + 6 * DIM + top) + 2 * 2 * 5)
    assert without.macs() == (6 * DIM + top, 3 * (6 * DIM + top))


def observe(dlrm: DLRM, units: AlternatingUnits, part: Clicks) -> None:
    """One look at the gradients."""
    bags = dlrm.bags(part, torch.arange(len(part)))
    block = dlrm.table.expand(dlrm.table.active(bags.rows)).requires_grad_()
    values = {name: value.clone().requires_grad_() for name, value in dlrm.parameters.values.items()}
    logits = dlrm.logits(block, bags, torch.from_numpy(part.numbers), values)
    label = torch.from_numpy(part.label).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, label)
    gradients = torch.autograd.grad(loss, [block, *values.values()])
    units.observe(dict(zip(values, gradients[1:], strict=True)), block.detach(), gradients[0])


@pytest.mark.parametrize("n_numbers", [0, 2])
def test_importance_is_the_squared_slope_of_the_loss_along_each_unit(n_numbers: int) -> None:
    dlrm, part = model(n_numbers), clicks(n_numbers)
    units = AlternatingUnits(dlrm, Phases(1, 0.5, "pruned"), 0.5, columns=True, seed=0)
    observe(dlrm, units, part)
    label = part.label.astype(np.float64)
    for wiring in units._wirings:
        assert wiring.group.importance.max() > 0
        for unit in range(wiring.group.size):
            losses = []
            for gate in (1 - 1e-4, 1 + 1e-4):
                other = model(n_numbers)
                for name in wiring.writers:
                    other.parameters.values[name][unit] *= gate
                if wiring.table:
                    other.table.values.view(-1, DIM)[:, unit] *= gate
                logit = by_hand(other, part)
                losses.append(np.mean(np.logaddexp(0, logit) - label * logit))
            slope = (losses[1] - losses[0]) / 2e-4
            assert float(wiring.group.importance[unit]) == pytest.approx(slope**2, rel=0.02, abs=1e-7)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("n_numbers", [0, 2])
def test_pruned_units_have_left_the_matrices_and_the_rest_computes_the_same(
    n_numbers: int, columns: bool
) -> None:
    dlrm, part = model(n_numbers), clicks(n_numbers)
    units = AlternatingUnits(dlrm, Phases(1, 0.5, "pruned"), 0.5, columns=columns, seed=0)
    observe(dlrm, units, part)
    full_macs = dlrm.macs()
    silenced = model(n_numbers)
    assert units.move(0.5)
    for wiring in units._wirings:
        gone = np.setdiff1d(np.arange(wiring.group.size), wiring.group.alive.numpy())
        assert len(gone) == wiring.group.size // 2
        for name in wiring.writers:
            silenced.parameters.values[name][gone] = 0
        if wiring.table:
            silenced.table.values.view(-1, DIM)[:, gone] = 0
    np.testing.assert_allclose(dlrm.score(part), silenced.score(part), rtol=1e-5, atol=1e-6)
    width = DIM // 2 if columns else DIM
    values = dlrm.parameters.values
    assert values["top.0.weight"].shape == (4, width + 6)
    assert values["top.1.weight"].shape == (2, 4)
    assert values["top.2.weight"].shape == (1, 2)
    assert dlrm.table.nnz == dlrm.table.n_rows * width
    assert dlrm.table.dim == width
    for tensors in (dlrm.parameters.first, dlrm.parameters.second):
        assert {name: t.shape for name, t in tensors.items()} == {n: v.shape for n, v in values.items()}
    assert dlrm.macs().training < full_macs.training
    if columns and n_numbers == 0:
        assert dlrm.macs().inference == 6 * 3 + (3 + 6) * 4 + 4 * 2 + 2


def test_growing_neurons_back_changes_no_score() -> None:
    dlrm, part = model(2), clicks(2)
    units = AlternatingUnits(dlrm, Phases(1, 0.5, "full"), 0.5, columns=False, seed=0)
    shapes = {name: value.shape for name, value in dlrm.parameters.values.items()}
    full_macs = dlrm.macs()
    observe(dlrm, units, part)
    assert units.move(0.3)
    assert not units.move(0.4)
    before = dlrm.score(part)
    moments = {name: torch.rand_like(value) for name, value in dlrm.parameters.first.items()}
    dlrm.parameters.first.update(moments)
    alive = units._wirings[-1].group.alive
    assert units.move(0.8)
    np.testing.assert_allclose(dlrm.score(part), before, rtol=1e-5, atol=1e-6)
    assert {name: value.shape for name, value in dlrm.parameters.values.items()} == shapes
    assert dlrm.macs() == full_macs
    last = dlrm.parameters.first["top.2.weight"]
    torch.testing.assert_close(last[:, alive], moments["top.2.weight"])
    assert last.abs().sum() == moments["top.2.weight"].abs().sum()


def test_grown_columns_are_there_and_the_top_tower_does_not_read_them_yet() -> None:
    dlrm, part = model(0), clicks(0)
    units = AlternatingUnits(dlrm, Phases(1, 0.5, "full"), 0.5, columns=True, seed=0)
    observe(dlrm, units, part)
    units.move(0.3)
    group = next(wiring.group for wiring in units._wirings if wiring.table)
    kept_neurons = next(w.group.alive for w in units._wirings if w.group.name == "top.0")
    alive, kept = group.alive, dlrm.table.values.view(-1, DIM // 2).clone()
    units.move(0.8)
    table = dlrm.table.values.view(-1, DIM)
    grown = np.setdiff1d(np.arange(DIM), alive.numpy())
    torch.testing.assert_close(table[:, alive], kept)
    assert bool((table[:, grown] != 0).all())
    weight = dlrm.parameters.values["top.0.weight"][kept_neurons]
    assert bool((weight[:, grown] == 0).all())
    assert bool((weight[:, alive] != 0).all())
    assert dlrm.score(part).isfinite().all()


@given(
    cycles=st.integers(1, 4),
    full_share=st.floats(0.05, 0.95),
    finish=st.sampled_from(["full", "pruned"]),
)
def test_phases_start_full_end_as_asked_and_keep_their_share(
    cycles: int, full_share: float, finish: str
) -> None:
    phases = Phases(cycles, full_share, finish)
    grid = (np.arange(4000) + 0.5) / 4000
    pruned = np.array([phases.is_pruned(float(p)) for p in grid])
    assert not pruned[0]
    assert pruned[-1] == phases.is_pruned(1.0) == (finish == "pruned")
    assert int(np.abs(np.diff(pruned.astype(int))).sum()) == 2 * cycles - (finish == "pruned")
    assert 1 - pruned.mean() == pytest.approx(full_share, abs=0.01)
