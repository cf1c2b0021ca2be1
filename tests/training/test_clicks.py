from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.click_run import ClickRun
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import CategoryColumn, ClickLog, ClickSplit, split_clicks
from sparsedevice.errors import ConfigError, RunError
from sparsedevice.evaluation.clicks import evaluate_clicks
from sparsedevice.sparse.presets import METHODS
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training import clicks as loop
from sparsedevice.training.click_config import ClickConfig
from sparsedevice.training.clicks import train_clicks

SMALL = {
    "dim": 8,
    "sparsity": 0.5,
    "epochs": 4,
    "batch_rows": 100,
    "top": [12, 6],
    "bottom": [5],
    "threads": 1,
}
AMGP = {**SMALL, "method": "amgp"}


def world(n_rows: int = 2000, seed: int = 3, numbers: bool = True, **options: object) -> ClickSplit:
    """Users of three tastes click on items of their taste; a number helps."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 30, n_rows), rng.integers(0, 20, n_rows)
    number = rng.standard_normal(n_rows)
    log_odds = 3.0 * (user % 3 == item % 3) - 1.5 + number * numbers
    label = (rng.random(n_rows) < 1 / (1 + np.exp(-log_odds))).astype(np.uint8)
    tags = np.stack([item % 5, np.where(item % 2, -1, 5 + item % 3)], axis=1)
    categories = (
        CategoryColumn("user", user[:, None].astype(np.int32), [f"u{n}" for n in range(30)]),
        CategoryColumn("item", item[:, None].astype(np.int32), [f"i{n}" for n in range(20)]),
        CategoryColumn("tags", tags.astype(np.int32), [f"t{n}" for n in range(8)]),
    )
    table = number[:, None] if numbers else np.zeros((n_rows, 0))
    log = ClickLog(label, categories, ("number",) if numbers else (), table)
    return split_clicks(log, ClickOptions(**options))


def train(split: ClickSplit, out: Path, settings: dict, **more: object) -> ClickRun:
    return train_clicks(split, out, settings=settings, progress=False, **more)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "metrics.json"}


@pytest.mark.parametrize("settings", [{**SMALL, "sparsity": 0.0}, SMALL, AMGP, {**AMGP, "finish": "full"}])
@pytest.mark.parametrize("numbers", [True, False])
def test_training_learns_and_the_run_loads_again(tmp_path: Path, settings: dict, numbers: bool) -> None:
    run = train(world(numbers=numbers), tmp_path / "run", {**settings, "epochs": 12, "lr": 0.05})
    loaded = ClickRun.load(tmp_path / "run")
    assert loaded.metrics == json.loads(json.dumps(run.metrics))
    assert (loaded.config, loaded.schema) == (run.config, run.schema)
    # The planted log odds themselves reach about 0.83 and 0.80; guessing 0.5.
    assert run.metrics["test"]["auc"] > 0.7
    assert evaluate_clicks(tmp_path / "run") == run.metrics["test"]
    validation = evaluate_clicks(tmp_path / "run", "validation")
    assert validation["auc"] == pytest.approx(run.metrics["history"][-1]["auc"], abs=1e-9)


@pytest.mark.parametrize("fan_in", ["fixed", "global"])
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"amgp"}))
def test_every_preset_keeps_its_budget(tmp_path: Path, method: str, fan_in: str) -> None:
    settings = {**SMALL, "method": method, "fan_in": fan_in, "sparsity": 0.75}
    split = world()
    if method == "projected":
        with pytest.raises(ConfigError, match="rows have any length"):
            train(split, tmp_path / "run", settings)
        return
    if METHODS[method].weights != "sparse" or method in ("wta-crs", "blocks"):
        with pytest.raises(ConfigError, match="not for click logs"):
            train(split, tmp_path / "run", settings)
        return
    if METHODS[method].initial == "popularity" and fan_in == "fixed":
        with pytest.raises(ConfigError, match="fan_in 'global'"):
            train(split, tmp_path / "run", settings)
        return
    run = train(split, tmp_path / "run", settings)
    assert run.table.nnz == split.schema.n_rows * 2
    assert run.table.shape == (split.schema.n_rows, 8)
    assert run.metrics["inference"]["table_bytes"] == run.table.nnz * 5 + 8 * (split.schema.n_rows + 1)


def test_alternating_counts_what_it_computed_and_ends_as_asked(tmp_path: Path) -> None:
    split = world()
    n = len(split.train)
    for finish, width in (("full", 8), ("pruned", 4)):
        settings = {**AMGP, "finish": finish, "cycles": 1, "full_share": 0.5}
        run = train(split, tmp_path / finish, settings)
        assert run.table.shape == (split.schema.n_rows, width)
        assert run.towers["top.0.weight"].shape == (12 * width // 8, width + 6)
        dense = train(split, tmp_path / "dense", {**SMALL, "sparsity": 0.0})
        full = dense.model().macs()
        pruned_weights = 1 * 3 + 3 * 4 + (4 + 6) * 6 + 6 * 3 + 3
        pruned = 3 * (pruned_weights + 6 * 4) - 1 * 3
        assert dense.metrics["training"]["macs"] == full.training * n * 4
        assert run.metrics["training"]["macs"] == (full.training + pruned) * n * 2
        share = run.metrics["training"]["share_of_full_macs"]
        assert share == pytest.approx((full.training + pruned) / (2 * full.training))
        assert run.metrics["inference"]["macs"] == run.model().macs().inference


def test_towers_shrink_beside_a_sparse_table(tmp_path: Path) -> None:
    run = train(world(), tmp_path / "run", {**SMALL, "tower_sparsity": 0.5})
    assert run.table.shape == (61, 8)
    assert run.table.nnz == 61 * 4
    assert run.towers["bottom.0.weight"].shape == (3, 1)
    assert run.towers["top.0.weight"].shape == (6, 8 + 6)


def test_a_sparse_table_is_never_dense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = world(test_fraction=0.0, validation_fraction=0.0)
    dim, n_rows, largest = 64, split.schema.n_rows, 0
    expand = SparseTable.expand

    def watched(self, active):
        nonlocal largest
        block = expand(self, active)
        largest = max(largest, block.numel())
        return block

    monkeypatch.setattr(SparseTable, "expand", watched)
    settings = {**SMALL, "dim": dim, "sparsity": 0.9, "batch_rows": 4, "epochs": 1}
    run = train(split, tmp_path / "run", settings)
    # A batch of 4 rows with 4 categories each.
    assert 0 < largest <= 16 * dim < n_rows * dim / 3
    assert run.metrics["memory"]["parts"]["table"] < 0.12 * 12 * n_rows * dim


@pytest.mark.parametrize("settings", [SMALL, {**SMALL, "method": "rigl"}, AMGP, {**AMGP, "finish": "full"}])
@pytest.mark.parametrize("stop", [1, 23, 45])
def test_resume_continues_to_the_same_bytes(
    tmp_path: Path, settings: dict, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = world()
    train(split, tmp_path / "whole", settings)
    original, steps = loop.ClickTrainer._step, 0

    def interrupted_step(self, examples):
        nonlocal steps
        original(self, examples)
        steps += 1
        if steps == stop:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.ClickTrainer, "_step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        train(split, tmp_path / "parts", settings)
    monkeypatch.undo()
    with pytest.raises(RunError, match="--resume"):
        ClickRun.load(tmp_path / "parts")
    if stop == 1:
        with pytest.raises(RunError, match=r"lr=0\.\d+, now it is 3"):
            train(split, tmp_path / "parts", {**settings, "lr": 3}, resume=True)
        with pytest.raises(RunError, match="other data"):
            train(world(seed=4), tmp_path / "parts", settings, resume=True)
    train(split, tmp_path / "parts", settings, resume=True)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    whole, parts = (ClickRun.load(tmp_path / name).metrics for name in ("whole", "parts"))
    for name in ("history", "memory", "inference"):
        assert whole[name] == parts[name]
    assert whole["training"]["macs"] == parts["training"]["macs"]
    with pytest.raises(RunError, match="finished run"):
        train(split, tmp_path / "parts", settings, resume=True)


def test_another_seed_gives_another_model(tmp_path: Path) -> None:
    split = world()
    for seed in (1, 2):
        train(split, tmp_path / str(seed), {**SMALL, "seed": seed, "epochs": 1})
    assert files(tmp_path / "1")["tables.safetensors"] != files(tmp_path / "2")["tables.safetensors"]


def test_l2_keeps_embeddings_short(tmp_path: Path) -> None:
    split = world()
    norms = []
    for l2 in (0.0, 1.0):
        run = train(split, tmp_path / "run", {**SMALL, "l2": l2})
        norms.append(float(np.abs(run.table.data).sum()))
    assert norms[1] < 0.5 * norms[0]


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for bad, message in (
        ({"epochz": 3}, "unknown setting 'epochz'"),
        ({"sparsity": 1.0}, "sparsity 1"),
        ({"method": "amgp", "tower_sparsity": 0.5}, "with method 'amgp'"),
        ({"full_share": 1.0}, "full_share"),
        ({"finish": "half"}, "choose one of full, pruned"),
        ({"top": [0]}, "top 0"),
        ({"lr": 0.0}, "lr 0"),
        ({"l2": -1.0}, "l2 -1"),
        ({"model": "mf"}, "unknown for click logs"),
        ({"method": "nothing"}, "method 'nothing' is unknown"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(world(300), tmp_path / "run", bad)
    empty = replace(world(300), schema=replace(world(300).schema, categories=()))
    with pytest.raises(ConfigError, match="no categorical column"):
        train(empty, tmp_path / "run", SMALL)
    config = ClickConfig(top=(3,), l2=0.1, method="amgp")
    assert ClickConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        ClickRun.load(tmp_path / "none")
    train(world(), tmp_path / "run", {**SMALL, "epochs": 1})
    (tmp_path / "run" / "schema.json").write_text('{"categories": [], "numbers": []}')
    with pytest.raises(RunError, match="damaged"):
        ClickRun.load(tmp_path / "run")
    (tmp_path / "run" / "tables.safetensors").write_bytes(b"12345678")
    with pytest.raises(RunError, match="damaged"):
        ClickRun.load(tmp_path / "run")


def test_threads_are_set_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    train(world(), tmp_path / "run", {**SMALL, "epochs": 1})
    assert torch.get_num_threads() == before
