"""``train --from``: an earlier run goes on with new interactions."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from sparsedevice.cli import main
from sparsedevice.data import DataOptions, Interactions, Split, read_interactions
from sparsedevice.data.log import Log
from sparsedevice.data.splits import make_split
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.evaluation import evaluate_run
from sparsedevice.exporters import export
from sparsedevice.packing import diff, inspect, patch
from sparsedevice.run import Run
from sparsedevice.training import loop, train
from sparsedevice.training.prior import Prior, carried_over
from sparsedevice.training.refresh import refresh
from sparsedevice.training.refresh_data import joined_split, known_pairs, new_split

SETTINGS: dict[str, Any] = {"batch_users": 20, "negatives": 32, "validation_every": 0}
QUIET: dict[str, Any] = {"threads": 1, "progress": False}


def cut_by_time() -> tuple[Split, Split]:
    """An older and a newer world: new users and items, and half of the old items have changed taste."""
    shape = "tastes=4,history=30"
    first = read_interactions(f"synthetic:users=180,items=60,{shape},seed=1", DataOptions())
    second = read_interactions(f"synthetic:users=90,items=90,{shape},seed=2", DataOptions())
    users = [number(id_) for id_ in second.user_ids.ids]
    items = [number(id_) for id_ in second.item_ids.ids]
    swapped = [{0: i + 1, 1: i - 1, 6: i + 1, 7: i - 1}.get(i % 8, i) for i in items]
    renamed = Interactions.from_ids(
        [f"u{users[u]}" if users[u] < 30 else f"late{users[u]}" for u in second.user_index],
        [f"i{swapped[i]}" for i in second.item_index],
    )
    named = Interactions.from_ids(
        [f"u{number(first.user_ids.ids[u])}" for u in first.user_index],
        [f"i{number(first.item_ids.ids[i])}" for i in first.item_index],
    )
    old = make_split(Log(named, None, ("old",)), DataOptions())
    fresh = ~known_pairs(old, renamed)
    return old, make_split(Log(renamed.select(fresh).compact(), None, ("new",)), DataOptions())


def number(id_: str) -> int:
    return int("".join(letter for letter in id_ if letter.isdigit()))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Split, Split, Run]:
    old, new = cut_by_time()
    folder = tmp_path_factory.mktemp("old")
    run = train(old, folder / "run", dim=24, sparsity=0.75, epochs=40, **QUIET, settings=SETTINGS)
    return old, new, run


def test_it_learns_the_new_and_the_prior_keeps_the_old(
    world: tuple[Split, Split, Run], tmp_path: Path
) -> None:
    old, new, before = world
    settings = {"validation_every": 0}
    after = refresh(before, new, tmp_path / "a", prior=10, epochs=16, **QUIET, settings=settings)
    free = refresh(before, new, tmp_path / "b", prior=0, epochs=16, **QUIET, settings=settings)
    alone = train(new, tmp_path / "c", dim=24, sparsity=0.75, epochs=40, **QUIET, settings=SETTINGS)
    kept, lost = after.metrics["refresh"], free.metrics["refresh"]
    assert kept["new_test_recall@20_after"] > kept["new_test_recall@20_before"] + 0.05
    assert kept["new_test_recall@20_after"] > evaluate_run(alone, users="folded")["recall@20"]
    assert kept["old_test_recall@20_after"] > lost["old_test_recall@20_after"]
    cosine = [
        run.items[: old.train.n_items].multiply(before.items).sum(axis=1).mean() for run in (after, free)
    ]
    assert cosine[0] > cosine[1] + 0.04
    # The same budget, and every user and item of both.
    assert set(np.diff(after.items.indptr)) == set(np.diff(before.items.indptr)) == {6}
    assert list(after.split.train.item_ids.ids)[: old.train.n_items] == list(old.train.item_ids.ids)
    assert set(new.train.user_ids.ids) <= set(after.split.train.user_ids.ids)
    assert kept["new_users"] > 0
    assert kept["new_items"] > 0
    # What old users have seen is kept, and nothing that is held out is trained on.
    train_pairs = after.split.train.matrix()
    assert train_pairs.nnz == len(old.train) + len(old.validation or ()) + len(new.train)
    assert after.split.test is not None
    assert train_pairs.multiply(after.split.test.matrix()).nnz == 0
    assert after.metrics["memory"]["parts"]["prior"] > 0
    assert "prior" not in free.metrics["memory"]["parts"]
    loaded = Run.load(tmp_path / "a")
    for name in ("users", "items"):
        np.testing.assert_array_equal(loaded.curvature[name], after.curvature[name])
        assert (loaded.curvature[name] >= 0).all()
        assert loaded.curvature[name].max() > 0
    # A second refresh uses the stored curvature.
    again = refresh(tmp_path / "a", cut_again(new), tmp_path / "a", epochs=2, **QUIET, settings=settings)
    assert again.items.shape == after.items.shape


def cut_again(new: Split) -> Split:
    assert new.test is not None
    part = new.test.select(np.arange(len(new.test)) % 2 == 0).compact()
    return make_split(Log(part, None, ("again",)), DataOptions(test_fraction=0, validation_fraction=0))


def test_bundles_of_before_and_after_differ_by_a_delta(
    world: tuple[Split, Split, Run], tmp_path: Path
) -> None:
    _, new, before = world
    after = refresh(before, new, tmp_path / "run", epochs=2, **QUIET, settings={"validation_every": 0})
    files = []
    for name, run in (("old", before), ("new", after)):
        files.append(export(run, "packed", tmp_path / name, max_users=20).path / "model.sd")
    delta = diff(files[0], files[1], tmp_path / "model.sdd")
    assert delta["bytes"] <= files[1].stat().st_size
    patch(files[0], tmp_path / "model.sdd", tmp_path / "patched.sd")
    assert (tmp_path / "patched.sd").read_bytes() == files[1].read_bytes()


def test_the_byte_budget_holds_with_more_items(tmp_path: Path) -> None:
    old, new = cut_by_time()
    settings = {**SETTINGS, "budget_vocabulary": False}
    before = train(old, tmp_path / "old", budget="2KB", epochs=5, **QUIET, settings=settings)
    after = refresh(before, new, tmp_path / "new", epochs=2, **QUIET)
    assert after.items.shape[0] > before.items.shape[0]
    assert after.metrics["budget"]["bytes"] <= 2000
    bundle = export(after, "packed", tmp_path / "bundle", max_users=20)
    assert inspect(bundle.path / "model.sd")["values"] == before.config.values


def test_it_repeats_and_resumes_to_the_same_bytes(
    world: tuple[Split, Split, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, new, before = world
    whole = refresh(before, new, tmp_path / "whole", epochs=3, **QUIET)
    original, steps = loop.Trainer._step, 0

    def interrupted_step(self, order, epoch, step):
        nonlocal steps
        original(self, order, epoch, step)
        steps += 1
        if steps == 14:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        refresh(before, new, tmp_path / "parts", epochs=3, **QUIET)
    monkeypatch.undo()
    parts = refresh(before, new, tmp_path / "parts", epochs=3, **QUIET, resume=True)
    assert (parts.items != whole.items).nnz == 0
    tables = "tables.safetensors"
    assert (tmp_path / "parts" / tables).read_bytes() == (tmp_path / "whole" / tables).read_bytes()


def test_models_without_users_and_with_dense_users_go_on_too(tmp_path: Path) -> None:
    old, new = cut_by_time()
    for number, (model, settings) in enumerate(
        [("elsa", {}), ("pooled", {"fan_in": "global"}), ("mf", {"sparse": "items"})]
    ):
        before = train(
            old, tmp_path / f"old{number}", model=model, dim=16, epochs=5, sparsity=0.75, **QUIET,
            settings={**SETTINGS, **settings},
        )  # fmt: skip
        after = refresh(before, new, tmp_path / f"new{number}", epochs=2, **QUIET)
        assert after.items.nnz == after.items.shape[0] * 4
        assert np.isfinite(after.items.data).all()
        assert (after.users is None) == (model != "mf")


def test_only_new_pairs_count_and_a_log_without_any_is_refused(tmp_path: Path) -> None:
    old = Split(Interactions.from_ids(["a", "a", "b", "b"], ["x", "y", "x", "z"]), None, None, "all")
    log = tmp_path / "new.csv"
    log.write_text("user,item\na,x\na,z\nc,y\nc,w\nc,x\n")
    options = DataOptions(test_fraction=0, validation_fraction=0)
    new = new_split(old, log, options)
    assert len(new.train) == 4
    joined = joined_split(old, new)
    assert list(joined.train.user_ids.ids) == ["a", "b", "c"]
    assert list(joined.train.item_ids.ids) == ["x", "y", "z", "w"]
    assert len(joined.train) == 8
    log.write_text("user,item\na,x\nb,z\n")
    with pytest.raises(DataError, match="nothing that the run does not know"):
        new_split(old, log, options)


def test_the_prior_is_the_gradient_of_its_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    old = scipy.sparse.csr_array(rng.random((5, 6)) * (rng.random((5, 6)) < 0.5), dtype=np.float32)
    weight = rng.random(old.nnz).astype(np.float32)
    dense_weight = scipy.sparse.csr_array((weight, old.indices, old.indptr), shape=old.shape).toarray()
    now = torch.tensor(rng.random((3, 6)), dtype=torch.float32, requires_grad=True)
    rows = torch.tensor([0, 2, 4])
    difference = now - torch.from_numpy(old.toarray()[rows.numpy()])
    (3.0 / 2 * (torch.from_numpy(dense_weight[rows.numpy()]) * difference**2).sum()).backward()
    gradient = torch.zeros(3, 6)
    Prior(old, weight, 3.0).add_gradient_(gradient, rows, now.detach())
    torch.testing.assert_close(gradient, now.grad)
    np.testing.assert_array_equal(carried_over(old, weight, old), weight)
    emptied = replace_last(old)
    np.testing.assert_array_equal(carried_over(emptied, weight[: emptied.nnz], old)[emptied.nnz :], 0)


def replace_last(table: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """The table with its last row empty."""
    end = int(table.indptr[-2])
    return scipy.sparse.csr_array(
        (table.data[:end], table.indices[:end], np.append(table.indptr[:-1], end)), shape=table.shape
    )


def test_the_command_line_goes_on_from_a_run(
    world: tuple[Split, Split, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, new, before = world
    before.save(tmp_path / "run")
    log = tmp_path / "new.csv"
    ids = new.train.user_ids.ids, new.train.item_ids.ids
    rows = (
        f"{ids[0][u]},{ids[1][i]}" for u, i in zip(new.train.user_index, new.train.item_index, strict=True)
    )
    log.write_text("user,item\n" + "\n".join(rows) + "\n")
    arguments = ["train", str(log), "--from", str(tmp_path / "run"), "--out", str(tmp_path / "run")]
    for extra, message in (
        (["--sparsity", "0.5"], "--from keeps the run's sparsity"),
        (["--temperature", "0.2"], "a refresh keeps the run's temperature"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *extra])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--epochs", "1", "--prior", "10"])
    assert ended.value.code == 0
    assert Run.load(tmp_path / "run").config.prior == 10
    with pytest.raises(ConfigError, match="prior -1"):
        refresh(before, new, tmp_path / "bad", prior=-1)
    assert replace(before.config, prior=0.0) == before.config
