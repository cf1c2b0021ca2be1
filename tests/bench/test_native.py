"""The C tool, here and as arm64 under emulation."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from sparsedevice.bench import BenchSettings, bench, bench_many
from sparsedevice.bench.machines.qemu import EMULATOR, emulate
from sparsedevice.bench.memory import cached_bytes, drop_cached
from sparsedevice.bench.native import build_tool
from sparsedevice.bench.raw import RawLog
from sparsedevice.bench.timing import summarise
from sparsedevice.errors import ConfigError, TargetError
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
needs_arm = pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which(EMULATOR) is None,
    reason="an arm64 cross compiler and qemu-user are not both installed",
)


@needs_cc
def test_result_is_what_its_samples_say(packed_bundle, tmp_path):
    raw = tmp_path / "raw.jsonl"
    cell = BenchSettings(harness="native", k=3, repetitions=300, min_seconds=0.02, batch=4, samples=True)
    (result,) = bench_many(packed_bundle.path, [cell], raw=raw)
    events = [json.loads(line) for line in raw.read_text().splitlines()]
    by_phase: dict[str, list[int]] = {}
    for event in events:
        if event["event"] == "samples":
            by_phase.setdefault(event["phase"], []).extend(event["ns"])
    for name, summary in {"end_to_end": result, "batch": result["batch"], **result["phases"]}.items():
        if "difference_of" in summary:
            continue
        for key, value in summarise(by_phase[name]).items():
            assert summary[key] == pytest.approx(value, abs=2e-6), (name, key)
    assert result["samples_ns"] == by_phase["end_to_end"]
    assert result["harness"] == "sd-bench"
    assert result["file_bytes"] == (packed_bundle.path / "model.sd").stat().st_size
    assert result["anonymous_bytes"] < 1 << 20
    assert result["clock_overhead_ns"] > 0
    assert result["environment"]["page_bytes"] > 0


@needs_cc
def test_answers_equal_the_reference(packed_bundle, tmp_path):
    packed = PackedFile.open(packed_bundle.path / "model.sd")
    trace = tmp_path / "trace.txt"
    trace.write_text("0 1 2\n5\n7 3 7\n")
    command = [str(build_tool(os.uname().machine)), str(packed.path), str(trace)]
    said = subprocess.run(
        [*command, "--k", "4", "--answers"], capture_output=True, text=True, check=True
    ).stdout
    reference = load(packed.path, "numpy")
    for line, rows in zip(said.splitlines(), ([0, 1, 2], [5], [7, 3, 7]), strict=True):
        answer = json.loads(line)
        wanted = reference.recommend(history=[packed.vocabulary.ids[row] for row in rows], k=4)
        assert answer["rows"] == wanted.rows.tolist()
        assert answer["score_bits"] == wanted.scores.view(np.uint32).tolist()


@needs_cc
def test_refusals(packed_bundle, tmp_path):
    with pytest.raises(ConfigError, match="native harness runs backend core"):
        bench(packed_bundle.path, backend="numpy", harness="native")
    with pytest.raises(ConfigError, match="one thread"):
        bench(packed_bundle.path, harness="native", threads=2)
    with pytest.raises(TargetError, match="kernel abacus is unknown"):
        bench(packed_bundle.path, harness="native", kernel="abacus")
    with pytest.raises(TargetError, match="cannot pin"):
        bench(packed_bundle.path, harness="native", cpus="1000")
    with pytest.raises(TargetError, match="no C compiler for pdp11"):
        build_tool("pdp11")
    trace = tmp_path / "trace.txt"
    for text, reason in (("999\n", "line 1 of the trace has row 999"), ("", "holds no history|cannot read")):
        trace.write_text(text)
        command = [str(build_tool(os.uname().machine)), str(packed_bundle.path / "model.sd"), str(trace)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        assert re.search(reason, done.stderr)


def test_dropped_cache_is_seen(packed_bundle):
    files = [packed_bundle.path / "model.sd"]
    files[0].read_bytes()
    held = cached_bytes(files)
    if held is None:
        pytest.skip("this platform does not tell what it caches")
    assert held == files[0].stat().st_size
    drop_cached(files)
    if cached_bytes(files):
        pytest.skip("this file system keeps its files in memory")
    result = bench(packed_bundle.path, repetitions=1, min_seconds=0.0, cache="dropped")
    assert result["page_cache"] == "dropped"
    assert result["cached_at_load_bytes"] == 0


@needs_arm
def test_emulated_arm64_counts_and_never_times(packed_bundle):
    first, again = (bench(packed_bundle.path, target="qemu-arm64", k=3) for _ in range(2))
    assert first["answers"] == {"equal": True, "n": 16, "reference": "numpy"}
    assert first["counts"]["functions"] == again["counts"]["functions"], "counts repeat exactly"
    assert first["counts"]["instructions"] > 100
    scans = [f for name, f in first["counts"]["functions"].items() if name.startswith("sd_scan")]
    assert scans
    assert all(scan["load_bytes"] > 0 for scan in scans)
    for key in ("load_ms", "first_query_us", "p50_us", "p90_us", "p99_us"):
        assert first[key] is None
    assert first["estimated_cycles"] == again["estimated_cycles"]
    if first["estimated_cycles"] is None:
        assert "apt install llvm" in first["estimated"]
    else:
        instructions = sum(scan["instructions"] for scan in scans)
        small, big = (first["estimated_cycles"][core] for core in ("A55", "X3 (Neoverse V2)"))
        assert instructions / 8 < big < small < 5 * instructions, "an X3 takes up eight instructions a cycle"
    with pytest.raises(ConfigError, match="has nothing for backend 'onnx'"):
        bench(packed_bundle.path, target="qemu-arm64", backend="onnx")


@needs_arm
def test_every_kernel_of_arm64_answers_the_same(packed_bundle, tmp_path):
    trace = tmp_path / "trace.txt"
    trace.write_text("0 1 2\n5\n7 3 7\n1 4 9 16 25\n")
    tool = str(build_tool("aarch64"))
    command = [tool, str(packed_bundle.path / "model.sd"), str(trace), "--k", "5"]
    said = json.loads(emulate([*command, "--min-seconds", "0", "--repetitions", "1"])[-1])
    answers = {kernel: emulate([*command, "--kernel", kernel, "--answers"]) for kernel in said["kernels"]}
    assert "scalar" in answers
    assert all(answer == answers["scalar"] for answer in answers.values())


def test_a_log_without_events_leaves_no_file(tmp_path):
    with RawLog(tmp_path / "raw"):
        pass
    assert list(tmp_path.iterdir()) == []
