from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch

from sparsedevice.errors import ConfigError
from sparsedevice.sparse.accumulator import GradientAccumulator
from sparsedevice.sparse.initial import block_shape, random_shape
from sparsedevice.sparse.move import move_global, move_rows
from sparsedevice.sparse.mover import ShapeMover
from sparsedevice.sparse.presets import METHODS, method_named
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.table import SparseTable


def table_of(rows: int, dim: int, fan_in: int, seed: int = 0) -> SparseTable:
    return SparseTable.from_csr(random_shape(np.full(rows, fan_in), dim, np.random.default_rng(seed)))


def mask_of(table: SparseTable) -> np.ndarray:
    csr = table.to_csr()
    csr.data = np.ones_like(csr.data)
    return csr.toarray().astype(bool)


def test_move_rows_swaps_the_smallest_for_the_largest_gradient() -> None:
    table = table_of(6, 10, 4)
    before, values = mask_of(table), table.to_csr().toarray()
    growth = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([1, 3, 4])
    table.first.fill_(7.0)
    moved = move_rows(table, rows, lambda a, b: growth[a:b], 0.5)
    assert moved == 6
    after = mask_of(table)
    for row in (0, 2, 5):
        np.testing.assert_array_equal(after[row], before[row])
    for place, row in enumerate(rows.tolist()):
        active = np.flatnonzero(before[row])
        dropped = active[np.argsort(np.abs(values[row, active]))[:2]]
        inactive = np.flatnonzero(~before[row])
        grown = inactive[np.argsort(-np.abs(growth[place].numpy()[inactive]))[:2]]
        expected = (set(active) - set(dropped)) | set(grown)
        assert set(np.flatnonzero(after[row])) == expected
        moments = table.to_csr()
        moments.data = table.first.numpy()
        assert (moments.toarray()[row, grown] == 0).all()


def test_a_row_without_gradient_stays() -> None:
    table = table_of(4, 6, 2)
    before = table.to_csr()
    growth = torch.zeros(4, 6)
    assert move_rows(table, torch.arange(4), lambda a, b: growth[a:b], 0.5) == 0
    assert (table.to_csr() != before).nnz == 0


def test_regret_lets_dropped_entries_come_back_with_their_values() -> None:
    table = table_of(5, 8, 3)
    before = table.to_csr()
    # The gradient asks for the active entries alone, so every dropped one is the best candidate.
    growth = torch.from_numpy(mask_of(table).astype(np.float32) + 0.01)
    move_rows(table, torch.arange(5), lambda a, b: growth[a:b], 0.34, regret=True)
    assert (table.to_csr() != before).nnz == 0


@pytest.mark.parametrize("regret", [False, True])
def test_move_global_keeps_the_budget_and_the_floor(regret: bool) -> None:
    table = table_of(20, 12, 3)
    growth = torch.rand(20, 12, generator=torch.Generator().manual_seed(2))
    growth[0] *= 100
    move_global(table, torch.arange(20), growth, 0.3, regret=regret)
    assert int(table.row_lengths[0]) > 6
    for _ in range(6):
        move_global(table, torch.arange(20), growth, 0.3, regret=regret)
    assert table.nnz == 60
    assert int(table.row_lengths.min()) >= 1


def test_every_row_is_watched_exactly_once_a_cycle() -> None:
    watch = GradientAccumulator(103, 4, 0.1, seed=3, device=torch.device("cpu"))
    assert watch.sums.shape == (11, 4)
    seen = torch.zeros(103)
    for period in range(10):
        watch.watch(period)
        assert watch.rows.numel() == 11
        seen[watch.rows] += 1
    # 103 rows in ten blocks of eleven: the last block starts early so as to be full.
    assert seen.min() == 1
    assert seen.sum() == 110


def test_accumulator_adds_exact_gradients_of_watched_rows_alone() -> None:
    watch = GradientAccumulator(50, 3, 0.2, seed=0, device=torch.device("cpu"))
    watch.watch(0)
    total = torch.zeros(50, 3)
    for step in range(5):
        rows = torch.randperm(50, generator=torch.Generator().manual_seed(step))[:20]
        gradient = torch.randn(20, 3, generator=torch.Generator().manual_seed(100 + step))
        watch.add(rows, gradient)
        total[rows] += gradient
    torch.testing.assert_close(watch.sums, total[watch.rows])


def test_annealing_ends_at_the_budget() -> None:
    table = table_of(10, 40, 16)
    method = method_named("annealed").with_parts(widen=4.0)
    mover = ShapeMover(
        table,
        method,
        Schedule(0.0, 0.8, 0.8),
        lengths=torch.full((10,), 4),
        widen=4.0,
        global_budget=False,
        seed=0,
    )
    lengths = [table.nnz // 10]
    for period in range(10):
        mover.end_period(period, (period + 1) / 10)
        lengths.append(table.nnz // 10)
    assert lengths[0] == 16
    assert lengths[-1] == 4
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) > 4


def test_schedule_is_rigls_cosine() -> None:
    schedule = Schedule(0.3, 0.5)
    assert schedule.moved_share(0) == pytest.approx(0.3)
    assert schedule.moved_share(0.25) == pytest.approx(0.15)
    assert schedule.moved_share(0.5) == 0


def test_presets_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ConfigError, match="'sparserek' is unknown; choose one of sparserec"):
        method_named("sparserek")
    with pytest.raises(ConfigError, match="grow"):
        METHODS["sparserec"].with_parts(grow="backwards")
    with pytest.raises(ConfigError, match="watched_share 0"):
        METHODS["sparserec"].with_parts(watched_share=0)
    replaced = METHODS["sparserec"].with_parts(initial="random", grow=None)
    assert (replaced.initial, replaced.grow) == ("random", "accumulated")


def test_scipy_tables_come_back_from_a_moved_table() -> None:
    table = table_of(7, 9, 3)
    growth = torch.rand(7, 9)
    move_rows(table, torch.arange(7), lambda a, b: growth[a:b], 0.4)
    csr = table.to_csr()
    assert isinstance(csr, scipy.sparse.csr_array)
    csr.check_format(full_check=True)


def test_moves_stay_within_a_row_s_blocks() -> None:
    generator = np.random.default_rng(0)
    shape = block_shape(random_shape(np.full(30, 4, np.int64), 16, generator), 4, 1, generator)
    table = SparseTable.from_csr(shape)
    before = table.columns.clone().view(30, 4).long()
    scores = torch.rand(30, 16)
    assert move_rows(table, torch.arange(30), lambda a, b: scores[a:b], 0.5, blocks=4) == 30 * 4
    after = table.columns.view(30, 4).long()
    torch.testing.assert_close(after // 4, torch.arange(4).expand(30, 4))
    assert (after != before).all()
    best = scores.scatter(1, before, -1.0).view(30, 4, 4).argmax(2) + 4 * torch.arange(4)
    torch.testing.assert_close(after, best)
