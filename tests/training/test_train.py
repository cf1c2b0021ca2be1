from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.data import DataOptions, Interactions, load_split
from sparsedevice.data.splits import Split
from sparsedevice.errors import ConfigError, DataError, RunError
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.models.rows import Model
from sparsedevice.packing.fold_in import Steps
from sparsedevice.run import Run
from sparsedevice.sparse.presets import METHODS
from sparsedevice.training import TrainConfig, loop, train
from sparsedevice.training.best import BestEpoch

WORLD = "synthetic:users=120,items=60,seed=3"
SMALL = {"dim": 16, "epochs": 6, "sparsity": 0.75, "threads": 1, "progress": False}
SETTINGS = {"batch_users": 20, "negatives": 16, "validation_every": 2}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "metrics.json"}


def test_train_learns_and_the_run_loads_again(tmp_path: Path) -> None:
    run = train(WORLD, tmp_path / "run", **{**SMALL, "epochs": 40}, settings=SETTINGS)
    loaded = Run.load(tmp_path / "run")
    assert loaded.config == run.config
    assert (loaded.items != run.items).nnz == 0
    assert loaded.metrics == json.loads(json.dumps(run.metrics))
    assert loaded.split.fingerprint() == run.split.fingerprint()
    np.testing.assert_array_equal(np.diff(loaded.items.indptr), 4)
    # Guessing finds 20 of about 60 unseen items, a third; the planted tastes are worth much more.
    assert run.metrics["test"]["recall@20"] > 0.5
    assert run.metrics["test_folded"]["recall@20"] > 0.5
    first, last = run.metrics["history"][0], run.metrics["history"][-1]
    assert last["loss"] < first["loss"]


@pytest.mark.parametrize("fan_in", ["fixed", "global"])
@pytest.mark.parametrize("sparse", ["both", "items"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_keeps_its_budget(method: str, sparse: str, fan_in: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, "sparse": sparse, "fan_in": fan_in}
    if METHODS[method].initial == "popularity" and fan_in == "fixed":
        with pytest.raises(ConfigError, match="fan_in 'global'"):
            train(WORLD, tmp_path / "run", method=method, **SMALL, settings=settings)
        return
    if (METHODS[method].weights == "columns" and sparse == "items") or (
        METHODS[method].blocks > 1 and fan_in == "global"
    ):
        with pytest.raises(ConfigError, match=r"sparse 'both'|fan_in 'fixed'"):
            train(WORLD, tmp_path / "run", method=method, **SMALL, settings=settings)
        return
    run = train(WORLD, tmp_path / "run", method=method, **SMALL, settings=settings)
    n_users, n_items = run.split.train.n_users, run.split.train.n_items
    assert run.items.nnz == n_items * 4
    if METHODS[method].weights != "sparse":
        assert run.metrics["memory"]["share_of_dense"] > 0.6
        assert run.metrics["memory"]["needs"].startswith("dense tables")
    else:
        assert "needs" not in run.metrics["memory"]
    assert run.users is not None
    assert run.users.nnz == n_users * (4 if sparse == "both" else 16)
    np.testing.assert_allclose(np.asarray(run.items.multiply(run.items).sum(axis=1)).ravel(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "method", ["pep", "dpf", "powerprop", "magnitude", "amgp", "wta-crs", "fixed-fan-in", "blocks"]
)
def test_rivals_learn_more_than_popularity(method: str, tmp_path: Path) -> None:
    settings = {**SETTINGS, "validation_every": 30}
    run = train(WORLD, tmp_path / "run", method=method, **{**SMALL, "epochs": 30}, settings=settings)
    assert run.metrics["test"]["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.02


def test_powerpropagation_goes_with_sparse_tables_too(tmp_path: Path) -> None:
    run = train(WORLD, tmp_path / "run", method="annealed", **SMALL, settings={**SETTINGS, "power": 1.5})
    assert run.items.nnz == run.split.train.n_items * 4
    with pytest.raises(ConfigError, match="set explore to 0"):
        train(WORLD, tmp_path / "run", **SMALL, settings={**SETTINGS, "power": 1.5})


def test_an_epoch_over_the_budget_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DPF is dense at first; however good it was then, the last epoch's size counts."""
    monkeypatch.setattr("sparsedevice.training.best.clearly_better", lambda *_: True)
    looks: dict[int, tuple[int, float]] = {}
    look = BestEpoch.look

    def watched(best: BestEpoch, model: Model, epoch: int, recall: np.ndarray, *, last: bool) -> None:
        looks[epoch] = model.tables["items"].nnz, float(recall.mean())
        look(best, model, epoch, recall, last=last)

    monkeypatch.setattr(BestEpoch, "look", watched)
    settings = {**SETTINGS, "validation_every": 1}
    run = train(WORLD, tmp_path / "run", method="dpf", **SMALL, settings=settings)
    assert run.items.nnz == run.split.train.n_items * 4
    others = {e: recall for e, (nnz, recall) in looks.items() if nnz == run.items.nnz and e < max(looks)}
    assert looks[1][0] > run.items.nnz
    assert run.metrics["training"]["kept_epoch"] == max(others, key=lambda epoch: others[epoch])


def test_same_seed_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(WORLD, tmp_path / name, **SMALL, seed=seed, options=DataOptions(), settings=SETTINGS)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a")["tables.safetensors"] != files(tmp_path / "c")["tables.safetensors"]


@pytest.mark.parametrize(
    ("model", "method", "stop"),
    [
        ("mf", "sparserec", 1),
        ("mf", "sparserec", 20),
        ("mf", "rigl", 7),
        ("mf", "annealed", 20),
        ("mf", "pep", 10),
        ("mf", "pep", 20),
        ("mf", "dpf", 20),
        ("mf", "powerprop", 7),
        ("mf", "amgp", 10),
        ("mf", "amgp", 20),
        ("elsa", "amgp", 10),
        ("elsa", "pep", 20),
        ("elsa", "dpf", 7),
        ("mf", "wta-crs", 7),
        ("mf", "blocks", 7),
        ("elsa", "sparserec", 7),
        ("pooled", "sparserec", 7),
        ("multvae", "sparserec", 7),
        ("lightgcn", "sparserec", 7),
        ("lightgcn", "projected", 33),
    ],
)
def test_resume_continues_to_the_same_bytes(
    tmp_path: Path, model: str, method: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(WORLD, tmp_path / "whole", model=model, method=method, **SMALL, settings=SETTINGS)

    original, steps = loop.Trainer._step, 0

    def interrupted_step(self, order, epoch, step):
        nonlocal steps
        original(self, order, epoch, step)
        steps += 1
        if steps == stop:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        train(WORLD, tmp_path / "parts", model=model, method=method, **SMALL, settings=SETTINGS)
    monkeypatch.undo()
    assert not (tmp_path / "parts" / "tables.safetensors").exists()
    with pytest.raises(RunError, match="--resume"):
        Run.load(tmp_path / "parts")

    train(WORLD, tmp_path / "parts", model=model, method=method, **SMALL, settings=SETTINGS, resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    whole, parts = (Run.load(tmp_path / name).metrics for name in ("whole", "parts"))
    assert whole["history"] == parts["history"]
    assert whole["memory"] == parts["memory"]
    assert not (tmp_path / "parts" / "checkpoint").exists()


def test_resume_refuses_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        train(WORLD, tmp_path / "none", **SMALL, settings=SETTINGS, resume=True)
    original = loop.Trainer._step

    def interrupted_step(self, order, epoch, step):
        original(self, order, epoch, step)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted_step)
    with pytest.raises(SystemExit) as ended:
        train(WORLD, tmp_path / "run", **SMALL, settings=SETTINGS)
    monkeypatch.undo()
    assert ended.value.code == 143
    with pytest.raises(RunError, match=r"sparsity=0\.75, now it is 0\.5"):
        train(WORLD, tmp_path / "run", **{**SMALL, "sparsity": 0.5}, settings=SETTINGS, resume=True)
    with pytest.raises(RunError, match="other data"):
        train(
            "synthetic:users=120,items=60,seed=4", tmp_path / "run", **SMALL, settings=SETTINGS, resume=True
        )
    (tmp_path / "run" / "checkpoint" / "state.safetensors").write_bytes(b"12345678")
    with pytest.raises(RunError, match="damaged"):
        train(WORLD, tmp_path / "run", **SMALL, settings=SETTINGS, resume=True)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for bad, message in (
        ({"lr": -1}, "lr -1 is not a positive number"),
        ({"epochz": 3}, "unknown training setting 'epochz'"),
        ({"sparsity": 0.5}, "argument of its own"),
        ({"fan_in": "some"}, "choose one of fixed, global"),
        ({"batch_users": 0}, "batch_users 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(WORLD, tmp_path / "run", settings=bad)
    with pytest.raises(ConfigError, match="sparsity 1"):
        train(WORLD, tmp_path / "run", sparsity=1.0)
    with pytest.raises(ConfigError, match="method 'nothing' is unknown"):
        train(WORLD, tmp_path / "run", **SMALL, method="nothing")


def test_one_user_is_too_little(tmp_path: Path) -> None:
    one = Interactions.from_ids(["u", "u"], ["a", "b"])
    with pytest.raises(DataError, match="too little to train on: 2 interactions, 1 users"):
        train(Split(one, None, None, "none"), tmp_path / "run", **SMALL)


def test_no_validation_and_no_test_part_is_fine(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = sorted({(int(u), int(i)) for u, i in rng.integers(0, 30, (300, 2))})
    log = Interactions.from_ids([u for u, _ in pairs], [i for _, i in pairs])
    run = train(Split(log, None, None, "all"), tmp_path / "run", **SMALL, settings=SETTINGS)
    assert run.metrics["history"] == []
    assert "test" not in run.metrics
    assert isinstance(run.fold_in.rule, Steps)


def test_config_survives_json() -> None:
    config = TrainConfig(sparsity=0.8, temperature=0.2, grow="random", dim=12)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_run_folder_opens_without_torch(tmp_path: Path) -> None:
    train(WORLD, tmp_path / "run", **SMALL, settings=SETTINGS)
    code = (
        "import sys; from sparsedevice.run import Run; from sparsedevice.evaluation import evaluate; "
        f"Run.load({str(tmp_path / 'run')!r}); evaluate({str(tmp_path / 'run')!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_split_can_be_given_in_memory(tmp_path: Path) -> None:
    split = load_split(WORLD, DataOptions())
    run = train(split, tmp_path / "run", **SMALL, settings=SETTINGS)
    assert run.source["data"] == "split in memory"
    assert Run.load(tmp_path / "run").items.shape == (split.train.n_items, 16)
