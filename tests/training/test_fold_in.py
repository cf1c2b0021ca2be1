"""The choice of a fold-in rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsedevice.data import DataOptions, load_split
from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.packing import FoldIn, Steps
from sparsedevice.run import Run
from sparsedevice.training import train
from sparsedevice.training.fold_in import Recipe, choose_fold_in, default_recipe, same_fold_in

WORLD = "synthetic:users=300,items=120,seed=3"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"batch_users": 30, "negatives": 32, "validation_every": 0, "fold_in": "steps"}
    return train(WORLD, folder, dim=16, epochs=25, sparsity=0.5, threads=1, progress=False, settings=settings)


def test_the_forced_rule_is_kept_with_the_run(run: Run, tmp_path: Path) -> None:
    assert isinstance(run.fold_in.rule, Steps)
    assert run.fold_in.matrix is None
    run.save(tmp_path / "again")
    assert Run.load(tmp_path / "again").fold_in.rule == run.fold_in.rule


@pytest.mark.parametrize("wanted", ["auto", "sum", "matrix", "ridge", "steps"])
def test_choice(run: Run, wanted: str) -> None:
    tables = run.items, run.users, run.similarity, run.split.train.matrix()
    assert run.split.validation is not None
    validation = run.split.validation.matrix()
    fold_in, found = choose_fold_in(*tables, validation, 0, wanted=wanted, temperature=0.15)
    tried = found["validation_recall@20"]
    assert fold_in.kind == found["kind"]
    assert wanted in ("auto", fold_in.kind)
    if wanted == "auto":
        assert any("steps" in name for name in tried)
        assert any("matrix" in name for name in tried)
        assert tried[found["rule"]] > max(tried.values()) - 0.03
    again, _ = same_fold_in(found, *tables)
    assert again.rule == fold_in.rule
    for mine, theirs in ((again.weights, fold_in.weights), (again.matrix, fold_in.matrix)):
        np.testing.assert_array_equal(mine, theirs)
    assert Recipe.from_json(found).name == found["rule"]


def test_steps_lower_the_training_loss(run: Run) -> None:
    matrix = run.split.train.matrix()
    users = np.flatnonzero(np.diff(matrix.indptr) > 0)
    chosen = matrix[users].toarray() > 0
    rows = run.items.toarray()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    def loss(fold_in: FoldIn) -> float:
        scores = folded_queries(run.items, "cosine", fold_in, matrix)(users) @ rows.T / run.config.temperature
        others = np.log(np.where(chosen, 0, np.exp(scores)).sum(axis=1))
        return float((others - np.where(chosen, scores, 0).sum(axis=1) / chosen.sum(axis=1)).mean())

    assert loss(run.fold_in) < loss(FoldIn()) - 0.02


def test_without_validation_the_default(run: Run) -> None:
    tables = run.items, run.users, run.similarity, run.split.train.matrix()
    assert choose_fold_in(*tables, None, 0, temperature=0.1)[0].kind == "steps"
    assert choose_fold_in(*tables, None, 0)[0].kind == "matrix"
    assert choose_fold_in(tables[0], None, *tables[2:], None, 0, temperature=0.1)[0].kind == "sum"
    small, large = (default_recipe("auto", True, 0.1, n_items) for n_items in (3_000, 40_000))
    assert (small.count, small.rows) == (8, 512)
    assert (large.count, large.rows) == (16, 2048)


def test_refusals(run: Run, tmp_path: Path) -> None:
    train_matrix = run.split.train.matrix()
    with pytest.raises(ConfigError, match="choose 'sum'"):
        choose_fold_in(run.items, None, "cosine", train_matrix, None, 0, wanted="matrix")
    with pytest.raises(ConfigError, match="cosine"):
        choose_fold_in(run.items, None, "dot", train_matrix, None, 0, wanted="steps", temperature=0.1)
    split = load_split(WORLD, DataOptions())
    with pytest.raises(ConfigError, match="fold_in 'mean' is unknown"):
        train(split, tmp_path / "r", settings={"fold_in": "mean"})
