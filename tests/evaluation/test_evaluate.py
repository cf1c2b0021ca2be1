from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sparsedevice.data import DataOptions, Interactions, load_split
from sparsedevice.data.splits import Split
from sparsedevice.errors import DataError, RunError
from sparsedevice.evaluation import evaluate, evaluate_run
from sparsedevice.evaluation.arms import popularity_arm, random_arm
from sparsedevice.evaluation.evaluate import evaluate_recommender
from sparsedevice.run import Run
from sparsedevice.training import train

WORLD = "synthetic:users=150,items=80,seed=1"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    train(
        WORLD, path, dim=16, sparsity=0.5, epochs=40, threads=1, settings={"batch_users": 32}, progress=False
    )
    return path


def test_evaluate_of_a_run_is_what_training_reported(run_folder: Path) -> None:
    run = Run.load(run_folder)
    result = evaluate(run_folder)
    assert {"recall@20", "ndcg@20", "hit_rate@20", "coverage@20", "n_users", "n_items"} <= set(result)
    assert result["recall@20"] == run.metrics["test"]["recall@20"]
    assert result["folded"]["recall@20"] == run.metrics["test_folded"]["recall@20"]
    assert evaluate(run_folder, k=5)["recall@5"] < result["recall@20"]


def test_the_model_beats_popularity_and_popularity_beats_chance(run_folder: Path) -> None:
    run = Run.load(run_folder)
    popular, chance = popularity_arm(run.split), random_arm(run.split)
    model = evaluate_run(run)
    assert model["recall@20"] > popular["recall@20"] + 0.05
    assert popular["recall@20"] > chance["recall@20"]
    # 20 places among the roughly 70 items that a user has not seen.
    unseen = run.split.train.n_items - len(run.split.train) / run.split.train.n_users
    assert chance["recall@20"] == pytest.approx(20 / unseen, rel=0.15)


def test_popularity_arm_by_hand() -> None:
    log = Interactions.from_ids(["a", "a", "b", "c"], ["x", "y", "x", "z"])
    test = log.select(np.array([False, False, False, False]))
    test = Interactions(np.array([1, 2], np.int32), np.array([1, 0], np.int32), log.user_ids, log.item_ids)
    result = popularity_arm(Split(log, None, test, "by hand"), k=1)
    # b has seen x, so y (which ties with z and comes first) is hit; c gets x, a hit.
    assert result["recall@1"] == 1.0


def test_evaluate_on_other_data_uses_the_runs_vocabulary(run_folder: Path, tmp_path: Path) -> None:
    run = Run.load(run_folder)
    train_part, test = run.split.train, run.split.test
    assert test is not None
    lines = ["user,item"] + [
        f"{train_part.user_ids.ids[u]},{train_part.item_ids.ids[i]}"
        for u, i in zip(test.user_index, test.item_index, strict=True)
    ]
    (tmp_path / "test.csv").write_text("\n".join([*lines, "nobody,nothing"]) + "\n")
    split = load_split(tmp_path / "test.csv", DataOptions(split="random", test_fraction=0.5))
    assert split.test is not None
    result = evaluate(run_folder, data=tmp_path / "test.csv")
    assert 0 < result["n_users"] <= evaluate(run_folder)["n_users"]
    (tmp_path / "foreign.csv").write_text(
        "user,item\n" + "\n".join(f"u{n % 5},i{n}" for n in range(50)) + "\n"
    )
    with pytest.raises(DataError, match="shares no user and item"):
        evaluate(run_folder, data=tmp_path / "foreign.csv")


class Table:
    """A recommender made of the run's own tables, to test the seam that bundles go through."""

    def __init__(self, run: Run) -> None:
        self.items = run.items.toarray()
        self.users = run.users.toarray()
        self.run = run

    def recommend(self, *, history=None, user=None, k=10, exclude="seen", candidates=None):  # noqa: ARG002
        ids = self.run.split.train.item_ids
        if user is not None:
            query = self.users[self.run.split.train.user_ids.row(user)]
            drop = ids.rows(exclude)
        else:
            weights = self.run.fold_in.weights
            rows = ids.rows(history)
            query = (self.items[rows] * (1 if weights is None else weights[rows, None])).sum(0)
            if self.run.fold_in.matrix is not None:
                query = self.run.fold_in.matrix @ query
            drop = rows
        scores = self.items @ query
        scores[drop] = -np.inf

        return SimpleNamespace(items=[ids.ids[row] for row in np.argsort(-scores, kind="stable")[:k]])


@pytest.mark.parametrize(("users", "own"), [("shipped", "trained"), ("folded", "folded")])
def test_evaluate_recommender_agrees_with_the_tables(run_folder: Path, users: str, own: str) -> None:
    run = Run.load(run_folder)
    through = evaluate_recommender(Table(run), run.split, 20, users)
    direct = evaluate_run(run, users=own)
    for name in ("recall@20", "ndcg@20", "hit_rate@20", "coverage@20"):
        assert through[name] == pytest.approx(direct[name], abs=2e-3)
    assert evaluate_recommender(Table(run), run.split, 20, users, max_users=10)["n_users"] == 10


def test_what_is_no_run_is_refused(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        evaluate(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"config\.json is missing"):
        evaluate(tmp_path / "empty")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in run_folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "tables.safetensors").write_bytes((run_folder / "tables.safetensors").read_bytes()[:-10])
    with pytest.raises(RunError, match="damaged"):
        evaluate(broken)
    (broken / "config.json").write_text('{"version": 99}')
    with pytest.raises(RunError, match="version 99"):
        evaluate(broken)
