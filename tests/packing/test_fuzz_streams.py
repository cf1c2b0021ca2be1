"""A short run of the fuzz target of the compact coding's decoder; `make fuzz` is the long one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "sparsedevice" / "runtime" / "csrc"
SANITIZE = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]


def test_short_run(tmp_path):
    compiler = shutil.which("clang") or shutil.which("clang-14")
    if not compiler:
        pytest.skip("clang, which brings libFuzzer, is not installed")
    program = tmp_path / "fuzz_streams"
    sources = [str(ROOT / "fuzz" / "fuzz_streams.c"), str(CSRC / "sd_compact.c")]
    build = [compiler, "-g", "-O1", "-std=c11", *SANITIZE, f"-I{CSRC}", *sources, "-o", str(program)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr and "clang_rt" in built.stderr:
        pytest.skip("this clang comes without libFuzzer or the sanitizers")
    assert built.returncode == 0, built.stderr
    run = [str(program), "-runs=3000", "-seed=1", "-max_len=4096"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 3000" in done.stderr
