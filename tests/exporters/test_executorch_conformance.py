"""ExecuTorch's portable operators against the conformance suite of all backends."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from benchmarks.exporters.program_bytes import write_rows
from sparsedevice.exporters.executorch import ExecutorchRecommender, render, write_program
from sparsedevice.exporters.executorch.methods import FOLD_ROWS, Best, unpair
from sparsedevice.exporters.executorch.shared import share_equal_parts
from sparsedevice.exporters.executorch.slots import lay_out, pair_up
from sparsedevice.exporters.vocabulary_file import write_vocabulary
from sparsedevice.packing import PackedFile, Steps
from sparsedevice.packing.quantize import Rows
from sparsedevice.runtime.reference import NumpyRecommender
from tests.exporters.written import written_once
from tests.runtime.conformance import CHECKS, Case, Subject, write_case

# Exporting takes seconds: these cases cover every way through the program, and each is exported once.
CASES = (
    Case(),
    Case(layout="csr", values="f16", dim=300),
    Case(similarity="dot", values="int8", fold_in="weights"),
    Case(fold_in="matrix", values="f32", dim=33),
    Case(n_items=1),
    Case(fold_in="tower", values="int8", dim=40),
    Case(fold_in="steps+weights", values="int4", dim=300),
)


@pytest.fixture(scope="module")
def open_(tmp_path_factory):
    def open_once(path):
        packed = PackedFile.open(path)
        return ExecutorchRecommender(
            packed, written_once(tmp_path_factory, packed, write_program) / "model.pte"
        )

    return open_once


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_executorch(check, open_, tmp_path):
    check(Subject(open_, tmp_path, supports=lambda case: case in CASES))


def test_large_table(tmp_path, monkeypatch, capsys):
    """Several blocks, long histories, more results than one call gives, rows out of range, and the bytes."""
    rule = Steps(8, 512, 1.0, 10.0, 1.25)  # what training takes where nothing is measured
    packed = write_rows(tmp_path / "model.sd", np.full(9000, 6), values="int4", rule=rule)
    write_program(packed, tmp_path)
    slots = lay_out(packed.item_rows)
    tables = 1.5 * slots.values.size + 4 * slots.padded_rows
    assert (tmp_path / "model.pte").stat().st_size - tables < 16 << 10
    got = ExecutorchRecommender(packed, tmp_path / "model.pte")
    wanted = NumpyRecommender(packed)
    history = [str(i) for i in range(0, 9000, 50)]
    assert len(history) > 2 * FOLD_ROWS
    for k in (20, 300):
        a, b = got.recommend(history=history, k=k), wanted.recommend(history=history, k=k)
        assert a.items == b.items
        assert a.scores.tobytes() == b.scores.tobytes()

    # The README's loop of steps gives the same.
    write_vocabulary(packed, tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", render(packed, ["model.pte"], ["3", "77"]), flags=re.S)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        exec(code, {})
    best = wanted.recommend(history=["3", "77"], k=5)
    assert capsys.readouterr().out.splitlines()[-1] == str(best.items)

    fold = got._methods["fold"]
    zeros = torch.zeros(64, dtype=torch.float64)
    wild = torch.tensor(([-1, 9000, 2**40, -(2**62), 17] + [-1] * FOLD_ROWS)[:FOLD_ROWS])
    tame = torch.tensor([17] + [-1] * (FOLD_ROWS - 1))
    np.testing.assert_array_equal(fold.execute([zeros, wild])[0], fold.execute([zeros, tame])[0].clone())


def test_methods_ignore_rows_out_of_range(open_, tmp_path):
    """-1, the number of rows and wild numbers read nothing, in every method that takes rows."""
    case = CASES[-1]
    methods = open_(write_case(tmp_path / "case.sd", case))._methods
    wild = [-1, case.n_items, case.n_items + 63, 2**40, -(2**62), 17]
    tame = [-1] * 5 + [17]
    zeros = torch.zeros(case.dim, dtype=torch.float64)
    query = torch.full((case.dim,), case.dim**-0.5, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)

    def ask(method, *inputs):
        return methods[method].execute(inputs)[0].clone().numpy()

    def padded(rows):
        return torch.tensor(rows + [-1] * (64 - len(rows)))

    for weighted in (torch.tensor([True]), torch.tensor([False])):
        fold = [ask("fold", zeros, padded(rows), weighted) for rows in (wild, tame, [])]
        np.testing.assert_array_equal(fold[0], fold[1])
        assert fold[1].any()
        assert not fold[2].any()
    step = [ask("step", query, query, padded(rows), one) for rows in (wild, tame, [])]
    np.testing.assert_array_equal(step[0], step[1])
    assert (step[1] != step[2]).any()
    for row in (-1, 9, 2**40, -(2**62)):
        assert not ask("user", torch.tensor([row])).any()
    assert ask("user", torch.tensor([8])).any()


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """A table with rows of three lengths, and its program before and after equal parts were shared."""
    folder = tmp_path_factory.mktemp("spread")
    packed = write_rows(folder / "model.sd", np.repeat([24, 8, 2], 1500), values="int4", weights=True)

    def keep(data):
        (folder / "plain.pte").write_bytes(data)
        return share_equal_parts(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sparsedevice.exporters.executorch.program.share_equal_parts", keep)
        write_program(packed, folder)
    return packed, folder


def test_rows_of_several_lengths_take_no_more_instructions(spread):
    """Values of 4 bits and fold-in weights: packed data + 16 KB, and the order of rows."""
    packed, folder = spread
    slots = lay_out(packed.item_rows)
    assert len(np.unique(np.diff(slots.first))) >= 3
    assert slots.values.size < 1.1 * 34 * 1500  # entries before those that 4 bits make 0 were dropped
    tables = 1.5 * slots.values.size + 4 * slots.padded_rows + 4 * packed.n_items
    assert (folder / "model.pte").stat().st_size - tables < 16 << 10
    got = ExecutorchRecommender(packed, folder / "model.pte")
    wanted = NumpyRecommender(packed)
    for question in ({"history": ["0", "2000", "4499"]}, {"history": []}):
        a, b = got.recommend(k=300, **question), wanted.recommend(k=300, **question)
        assert a.items == b.items
        assert a.scores.tobytes() == b.scores.tobytes()


def test_sharing_changes_nothing_but_the_bytes(spread):
    """The same program before and after: every method gives the same, and the instructions take less."""
    packed, folder = spread
    shared = (folder / "model.pte").read_bytes()
    assert len(shared) < (folder / "plain.pte").stat().st_size - (3 << 10)
    assert share_equal_parts(shared) == shared
    a, b = (ExecutorchRecommender(packed, folder / name) for name in ("model.pte", "plain.pte"))
    for question in ({"history": ["3", "77"]}, {"history": []}, {"history": ["1"], "candidates": ["5", "9"]}):
        got, wanted = a.recommend(k=300, **question), b.recommend(k=300, **question)
        assert got.items == wanted.items
        assert got.scores.tobytes() == wanted.scores.tobytes()


def test_values_of_four_bits_come_back_from_their_bytes():
    low, high = (part.ravel() for part in np.meshgrid(np.arange(-7, 8), np.arange(-7, 8)))
    values = np.concatenate((low, high)).astype(np.int8)[None]
    pairs = pair_up(values)
    assert pairs.dtype == np.int8
    assert pairs.size == values.size // 2
    np.testing.assert_array_equal(
        np.concatenate(unpair(torch.from_numpy(pairs).double(), 0.0625), axis=1), values
    )


def rows_of(lengths, dim):
    rng = np.random.default_rng(0)
    columns = np.concatenate([np.sort(rng.choice(dim, n, replace=False)) for n in lengths])
    values = rng.integers(1, 128, len(columns)).astype(np.int8)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    return Rows(indptr, columns.astype(np.int32), values, np.ones(len(lengths), np.float32), dim)


@pytest.mark.parametrize(
    "lengths", [[0, 0, 0], [5], np.arange(3000) % 60, np.repeat([60, 3, 1], [9, 20_000, 4])]
)
def test_slots_hold_every_entry_once(lengths):
    rows = rows_of(np.asarray(lengths), 64)
    slots = lay_out(rows)
    assert len(slots.values) == slots.first[-1]
    assert 0 <= slots.padded_rows - len(lengths) < slots.lanes
    block = np.searchsorted(slots.first, np.arange(len(slots.values)), "right") - 1
    slot, lane = np.nonzero(slots.values)
    row = block[slot] * slots.lanes + lane
    order = np.lexsort((slot, row))
    entries = np.stack((row, slots.columns[slot, lane], slots.values[slot, lane]))[:, order]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    np.testing.assert_array_equal(entries, np.stack((owner, rows.columns, rows.values)))
    assert not slots.columns[slots.values == 0].any()


def test_the_best_are_in_row_order_where_scores_are_equal():
    """Zeros, the smallest float32 numbers, neighbours and minus infinity."""
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    some = np.array([0, tiny, -tiny, 1, np.nextafter(np.float32(1), 2), -3e38, -np.inf], np.float32)
    scores = np.random.default_rng(0).choice(some, 8320)
    order = np.lexsort((np.arange(len(scores)), -scores))[:7000]
    best, rows = Best()(torch.from_numpy(scores), torch.arange(len(scores)) + 5, 7000)
    np.testing.assert_array_equal(best, scores[order])
    finite = np.isfinite(scores[order])
    np.testing.assert_array_equal(rows.numpy()[finite], order[finite] + 5)
