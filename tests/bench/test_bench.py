"""The benchmark harness: what it counts, what it repeats, what it refuses."""

from __future__ import annotations

import gc
import json
import mmap
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from sparsedevice.bench import bench, render_markdown
from sparsedevice.bench.memory import read_memory, release_free_memory, resident_file_bytes
from sparsedevice.bench.source import INSTALLED, NO_GIT, source_commit
from sparsedevice.bench.timing import steady, summarise
from sparsedevice.bench.trace import Trace
from sparsedevice.errors import BundleError, ConfigError
from sparsedevice.exporters import export, find_target
from tests.exporters.tiny import N_ITEMS, tiny_run

TARGETS = [find_target("packed"), find_target("onnx")]
KEYS = {"load_ms", "first_query_us", "p50_us", "p90_us", "p99_us", "file_bytes", "anonymous_bytes", "backend"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {target.name: export(tiny_run(), target.name, folder / target.name, k=5) for target in TARGETS}


@pytest.mark.parametrize(
    ("target", "backend"),
    [(target.name, backend) for target in TARGETS for backend in ("core", "numpy", target.backend)],
)
def test_every_backend_of_every_target(bundles, target, backend):
    result = bench(bundles[target].path, backend=backend, k=3, repetitions=30, min_seconds=0.0, warmup=2)
    assert set(result) >= KEYS
    assert result["backend"] == backend
    assert result["n"] == 30
    assert (
        0 < result["min_us"] <= result["p50_us"] <= result["p90_us"] <= result["p99_us"] <= result["max_us"]
    )
    assert result["file_bytes"] == sum(
        (bundles[target].path / name).stat().st_size for name in result["sha256"]
    )
    assert result["trace"]["n_items"] == N_ITEMS
    assert result["environment"]["packages"]["numpy"] == np.__version__
    for name in ("find", "fold_in", "scan", "choose"):
        summary = result["phases"][name]
        assert (summary["p50_us"] is None) == ("reason" in summary), name
    assert ("reason" in result["phases"]["scan"]) == (backend != "numpy")
    assert ("recommend_rows" in result["phases"]) == (backend == "onnx")
    assert result["energy_uj"] is not None or "powercap" in result["energy_note"]
    json.dumps(result)


def test_what_the_environment_does_not_tell_has_a_reason(bundles):
    environment = bench(bundles["packed"].path, repetitions=1, min_seconds=0.0)["environment"]
    hidden = {name for name, value in environment.items() if value is None}
    assert set(environment["missing"]) == hidden
    assert all(len(reason) > 10 for reason in environment["missing"].values())
    assert {"commit", "governor", "frequency_khz", "temperatures", "throttled", "page_bytes"} <= set(
        environment
    )


def test_the_commit_is_of_a_checkout_of_this_project_only(tmp_path):
    assert source_commit(tmp_path) == (None, INSTALLED)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run([*git, "init", "-q"], check=True)
    assert source_commit(tmp_path) == (None, INSTALLED), "a package inside somebody else's repository"
    (tmp_path / "sparsedevice").mkdir()
    (tmp_path / "sparsedevice" / "__init__.py").write_text("")
    assert source_commit(tmp_path) == (None, NO_GIT), "no commit yet"
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    commit, reason = source_commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert reason == ""
    (tmp_path / "sparsedevice" / "__init__.py").write_text("changed")
    assert source_commit(tmp_path) == (f"{commit}-dirty", "")


def test_own_backend_is_the_default(bundles):
    for name, bundle in bundles.items():
        result = bench(bundle.path, repetitions=1, min_seconds=0.0, warmup=0)
        assert result["backend"] == find_target(name).backend
        assert result["warmup_us"] is None


@linux
def test_memory_is_known_here(bundles):
    result = bench(bundles["packed"].path, repetitions=1, min_seconds=0.0)
    assert isinstance(result["anonymous_bytes"], int)
    assert result["resident_file_bytes"] > 0
    assert "memory_note" not in result


def test_memory_that_cannot_be_read_is_none_with_a_reason(bundles, monkeypatch):
    monkeypatch.setattr("sparsedevice.bench.measure.read_memory", lambda: None)
    result = bench(bundles["packed"].path, repetitions=1, min_seconds=0.0)
    assert result["anonymous_bytes"] is None
    assert "smaps_rollup" in result["memory_note"]
    assert "unknown" in render_markdown(result)


@linux
def test_anonymous_memory_sees_what_was_written_and_no_file(tmp_path):
    size = 32 << 20
    release_free_memory()
    before = read_memory()
    block = np.ones(size, np.uint8)
    grown = read_memory()
    assert size <= grown.anonymous_bytes - before.anonymous_bytes < size + (8 << 20)
    del block
    # A file that was just written has dirty pages of its own; they are not this process's memory.
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    gc.collect()
    before = read_memory()
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sum(mapped[page] for page in range(0, size, 4096))
        after = read_memory()
        assert after.anonymous_bytes - before.anonymous_bytes < 4 << 20
        assert resident_file_bytes(tmp_path) == size
        assert resident_file_bytes(tmp_path / "other") == 0
        mapped.close()


def test_steady_state_needs_both_repetitions_and_seconds():
    calls = []
    assert len(steady(calls.append, repetitions=25, min_seconds=0.0)) == 25
    assert calls == list(range(25))
    started = time.perf_counter()
    samples = steady(lambda _: time.sleep(0.001), repetitions=1, min_seconds=0.05)
    assert time.perf_counter() - started >= 0.05
    assert min(samples) >= 1_000_000
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error():
    def fail(_):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        steady(fail, repetitions=1, min_seconds=0.0)
    assert gc.isenabled()


def test_summary_against_numpy():
    samples = np.random.default_rng(0).integers(1000, 90_000, 1001)
    got = summarise(samples.tolist())
    ordered = np.sort(samples) / 1000
    assert got["p50_us"] == pytest.approx(ordered[500])
    assert got["p90_us"] == pytest.approx(ordered[900])
    assert got["p99_us"] == pytest.approx(ordered[990])
    assert got["min_us"] == ordered[0]
    assert got["max_us"] == ordered[-1]
    assert got["mean_us"] == pytest.approx(ordered.mean())
    assert got["n"] == 1001


def test_traces_repeat_by_seed_and_follow_zipf():
    a, b, c = Trace(5000, 400, 1), Trace(5000, 400, 1), Trace(5000, 400, 2)
    for x, y in zip(a.histories(), b.histories(), strict=True):
        np.testing.assert_array_equal(x, y)
    assert any(len(x) != len(y) or (x != y).any() for x, y in zip(a.histories(), c.histories(), strict=True))
    for history in a.histories():
        assert 5 <= len(history) == len(set(history.tolist())) <= 50
        assert 0 <= history.min() <= history.max() < 5000
    counts = np.sort(np.bincount(np.concatenate(a.histories()), minlength=5000))[::-1]
    assert counts[:50].sum() > 5 * counts[2500:].sum(), "few items are in many histories"


@pytest.mark.parametrize("n_items", [1, 3, 7])
def test_traces_of_small_catalogues(n_items):
    for history in Trace(n_items, 20).histories():
        assert 1 <= len(history) <= n_items


def test_refusals(bundles, tmp_path):
    with pytest.raises(BundleError, match="there is no bundle"):
        bench(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="backend 'tpu' is unknown; use one of core, numpy"):
        bench(bundles["packed"].path, backend="tpu")
    with pytest.raises(ConfigError, match="has nothing for backend 'onnx'"):
        bench(bundles["packed"].path, backend="onnx")
    for setting in ({"k": 0}, {"repetitions": 0}, {"warmup": -1}, {"seed": 1.5}, {"min_seconds": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            bench(bundles["packed"].path, **setting)


def test_markdown_of_several(bundles):
    results = [
        bench(bundles["onnx"].path, backend=backend, repetitions=3, min_seconds=0.0, k=3)
        for backend in ("core", "onnx")
    ]
    text = render_markdown(results)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {4}
    assert "core" in table[0]
    assert "onnx" in table[0]
    assert f"{results[1]['p50_us']:,.1f} µs" in text
    assert f"Top 3 of {N_ITEMS} items" in text
    assert "Not timed apart: fold in, scan, choose: one execution" in text
