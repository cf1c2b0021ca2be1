"""Which epoch is kept, and the second training on train and validation."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.data import DataOptions
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.run import Run
from sparsedevice.training import loop, train
from sparsedevice.training.best import clearly_better

WORLD = "synthetic:users=120,items=60,seed=3"
SMALL = {"dim": 16, "epochs": 6, "sparsity": 0.75, "threads": 1, "progress": False}
SETTINGS = {"batch_users": 20, "negatives": 16, "validation_every": 2}
REFIT = {**SETTINGS, "refit": True}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "metrics.json"}


def test_refit_trains_on_validation_too_with_the_choices_of_the_first_pass(tmp_path: Path) -> None:
    plain = train(WORLD, tmp_path / "plain", **SMALL, settings=SETTINGS)
    run = train(WORLD, tmp_path / "refit", **SMALL, settings=REFIT)
    first = run.metrics["first_pass"]
    assert plain.split.validation is not None
    assert first["training"]["interactions"] == len(plain.split.train)
    assert run.metrics["training"]["interactions"] == len(plain.split.train) + len(plain.split.validation)
    assert first["test"] == plain.metrics["test"]
    assert first["history"] == plain.metrics["history"]
    assert run.metrics["fold_in"]["rule"] == first["fold_in"]["rule"]
    assert run.metrics["test"] != first["test"]
    assert run.metrics["memory"]["peak_bytes"] == first["memory"]["peak_bytes"]
    # What validation holds is learnt now: its users find it.
    users = np.unique(run.split.validation.user_index)
    scores = (run.users[users] @ run.items.T).toarray(), (plain.users[users] @ plain.items.T).toarray()
    held_out = run.split.validation.matrix()[users].toarray() > 0
    assert scores[0][held_out].mean() > scores[1][held_out].mean() + 0.05
    train(WORLD, tmp_path / "again", **SMALL, settings=REFIT)
    assert files(tmp_path / "again") == files(tmp_path / "refit")
    assert Run.load(tmp_path / "refit").metrics == json.loads(json.dumps(run.metrics))


# 6 epochs of 6 steps each in either pass.
@pytest.mark.parametrize("stop", [20, 36, 37, 60])
def test_an_interrupted_refit_continues_to_the_same_bytes(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(WORLD, tmp_path / "whole", **SMALL, settings=REFIT)
    original, steps = loop.Trainer._step, 0

    def interrupted_step(self, order, epoch, step):
        nonlocal steps
        original(self, order, epoch, step)
        steps += 1
        if steps == stop:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Trainer, "_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        train(WORLD, tmp_path / "parts", **SMALL, settings=REFIT)
    monkeypatch.undo()
    parts = train(WORLD, tmp_path / "parts", **SMALL, settings=REFIT, resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert parts.metrics["first_pass"]["test"] == whole.metrics["first_pass"]["test"]
    assert not (tmp_path / "parts" / "best").exists()


def test_refit_needs_a_validation_part(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation part"):
        train(WORLD, tmp_path / "run", **SMALL, settings=REFIT, options=DataOptions(validation_fraction=0.0))
    with pytest.raises(ConfigError, match="refit 1 is not true or false"):
        train(WORLD, tmp_path / "run", **SMALL, settings={"refit": 1})


def test_clearly_better_means_more_than_noise() -> None:
    rng = np.random.default_rng(0)
    last = rng.random(1000)
    assert clearly_better(last + 0.05 + rng.normal(0, 0.1, 1000), last)
    assert not clearly_better(last + rng.normal(0, 0.1, 1000), last)
    assert not clearly_better(last, last)


@pytest.mark.parametrize("worse", [0.0, 0.3])
def test_the_last_epoch_is_kept_unless_an_earlier_one_is_clearly_better(
    tmp_path: Path, worse: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = train(WORLD, tmp_path / "early", **SMALL, settings=SETTINGS)
    looks: list[Path] = []
    original = loop.validation_recall

    def declining(model, train, validation, seed):
        found = original(model, train, validation, seed)
        looks.append(tmp_path)
        # From the second look on every user's figure is lower by `worse`.
        return np.full(len(found), 0.5) + 0.01 * np.sin(np.arange(len(found))) - worse * (len(looks) > 1)

    monkeypatch.setattr(loop, "validation_recall", declining)
    run = train(WORLD, tmp_path / "run", **SMALL, settings=SETTINGS)
    assert run.metrics["training"]["kept_epoch"] == (2 if worse else 6)
    assert ((run.items != early.items).nnz == 0) == (not worse)
    if worse:
        looks.clear()
        refit = train(WORLD, tmp_path / "refit", **SMALL, settings=REFIT)
        assert refit.metrics["first_pass"]["training"]["kept_epoch"] == 2
        assert refit.metrics["training"]["kept_epoch"] == 2
