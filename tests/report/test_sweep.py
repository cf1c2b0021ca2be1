"""A grid of runs: what is measured, what is kept, what stands beside it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest

from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, RunError
from sparsedevice.sweep import SweepSettings, render_sweep, sweep

pytest.importorskip("torch", reason="the extra 'train' is not installed")

from sparsedevice.training.loop import Trainer

DATA = "synthetic:users=120,items=60,seed=0"
QUICK = SweepSettings(k=5, epochs=1, max_users=50)
GRID = {"sparsity": [0.75], "dim": [16]}
#: Three steps an epoch, nine in all.
STEPS = SweepSettings(k=5, epochs=3, max_users=50, dense=False, train={"batch_users": 40})
KILLED_AT = 4
#: A sweep that writes a checkpoint at every step, and is killed as by ``kill -9`` in the middle of an epoch.
KILLED = f"""
import os, signal, sys
from sparsedevice.sweep import SweepSettings, sweep
from sparsedevice.training import loop
os.cpu_count = lambda: int(sys.argv[2])
loop.CHECKPOINT_SECONDS = -1.0
save = loop.Trainer.save
def save_and_die(trainer):
    save(trainer)
    if trainer.position.step == {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
loop.Trainer.save = save_and_die
sweep({DATA!r}, sys.argv[1], grid={GRID!r}, settings={STEPS!r})
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished sweep of one sparse cell, and its folder."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    return sweep(
        DATA, out, grid={"sparsity": [0.75], "dim": [16]}, values=("int8", "int4"), settings=QUICK
    ), out


def test_cells_and_dense_tables_of_the_same_bytes(first):
    result, out = first
    assert json.loads((out / "sweep.json").read_text()) == result
    sparse, *dense = result["cells"]
    assert sparse["family"] == "sparse"
    assert sparse["settings"] == {"sparsity": 0.75, "dim": 16}
    assert sparse["nnz"] == 60 * 4
    assert [arm["values"] for arm in sparse["arms"]] == ["int8", "int4"]
    assert sparse["arms"][1]["item_bytes"] < sparse["arms"][0]["item_bytes"]
    assert dense
    for arm in sparse["arms"]:
        rivals = [
            other["item_bytes"]
            for cell in dense
            for other in cell["arms"]
            if cell["family"] == "dense" and other["values"] == arm["values"]
        ]
        assert min(abs(size - arm["item_bytes"]) for size in rivals) <= 60, "within a byte a row"
        floats = [other["item_bytes"] for cell in dense for other in cell["arms"] if other["values"] == "f32"]
        assert min(abs(size - arm["item_bytes"]) for size in floats) <= 120, "within half an entry a row"
    for cell in result["cells"]:
        assert all(0 <= arm["accuracy"] <= 1 for arm in cell["arms"])


def test_what_is_done_is_kept(first):
    result, out = first
    files = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    again = sweep(DATA, out, grid={"sparsity": [0.75], "dim": [16]}, values=("int8", "int4"), settings=QUICK)
    assert again == result
    assert {path: path.stat().st_mtime_ns for path in out.rglob("result.json")} == files


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a sweep that was killed; tests work on copies."""
    out = tmp_path_factory.mktemp("killed")
    ended = subprocess.run([sys.executable, "-c", KILLED, out, "1"], capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return out


@pytest.fixture
def steps(monkeypatch):
    """The steps that training in this process takes."""
    taken = []
    step = Trainer._step

    def noted(trainer, *rest):
        taken.append(trainer.position.step)
        step(trainer, *rest)

    monkeypatch.setattr(Trainer, "_step", noted)
    return taken


def test_killed_cell_goes_on_from_its_checkpoint(killed, tmp_path, steps, monkeypatch):
    out = shutil.copytree(killed, tmp_path / "killed")
    monkeypatch.setattr("os.cpu_count", lambda: 2)  # other threads for a cell, as other --jobs give
    resumed = sweep(DATA, out, grid=GRID, settings=STEPS)
    assert steps == list(range(KILLED_AT, 9))
    steps.clear()
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    whole = sweep(DATA, tmp_path / "whole", grid=GRID, settings=STEPS)
    assert steps == list(range(9))
    assert resumed["cells"] == whole["cells"]


def test_trained_cell_is_not_trained_again(tmp_path, steps, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sparsedevice.exporters.export", _interrupted)
        sweep(DATA, tmp_path / "out", grid=GRID, settings=STEPS)
    assert len(steps) == 9
    result = sweep(DATA, tmp_path / "out", grid=GRID, settings=STEPS)
    assert len(steps) == 9, "only what was left, measuring, is done"
    assert result["cells"][0]["arms"]
    assert result["cells"][0]["history"]


def _interrupted(*_, **__):
    raise KeyboardInterrupt


def test_damaged_checkpoint_says_what_to_delete(killed, tmp_path):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    (state,) = tmp_path.glob("cells/*/run/checkpoint/state.safetensors")
    state.write_bytes(b"short")
    with pytest.raises(RunError, match=rf"damaged.*delete {state.parents[1]} to train"):
        sweep(DATA, tmp_path, grid=GRID, settings=STEPS)


def test_table_marks_the_frontier(first):
    result, _ = first
    lines = render_sweep(result).splitlines()[2:]
    assert len(lines) == sum(len(cell["arms"]) for cell in result["cells"])
    sizes = [int(line.split("|")[1].replace(",", "")) for line in lines]
    assert sizes == sorted(sizes)
    assert "*" in lines[0], "nothing is smaller than the smallest"


def test_the_command_draws_the_frontier(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
    out, page = tmp_path / "out", tmp_path / "page.html"
    command = ["sweep", DATA, "--out", str(out), "--sparsity", "0.75", "--dim", "16", "--epochs", "1"]
    command += ["--max-users", "50", "--no-dense", "--report"]
    with pytest.raises(SystemExit) as stop:
        main([*command, str(tmp_path)])
    assert stop.value.code == 2
    assert "is a folder" in capsys.readouterr().err
    assert not out.exists(), "found out before training"
    with pytest.raises(SystemExit) as stop:
        main([*command, str(page)])
    assert stop.value.code == 0
    assert "* | int8 | sparsity=0.75 dim=16 seed=0 |" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "Size and accuracy" in text
    assert "<svg" in text


def test_refusals(tmp_path):
    for grid, values, match in (
        ({}, ("int8",), "grid is empty"),
        ({"sparsity": []}, ("int8",), "sparsity has no value"),
        ({"sparsity": [0.9]}, ("int2",), "int2"),
        ({"sparsity": [0.9]}, (), "values is empty"),
    ):
        with pytest.raises(ConfigError, match=match):
            sweep(DATA, tmp_path / "out", grid=grid, values=values)
    with pytest.raises(ConfigError, match="jobs 0"):
        SweepSettings(jobs=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="is not a sweep"):
        sweep(DATA, tmp_path / "mine", grid={"sparsity": [0.9]})
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
