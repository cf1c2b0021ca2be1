"""A short run of the fuzz target; `make fuzz` is the long one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "sparsedevice" / "runtime" / "csrc"
SANITIZE = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]


def test_short_run(tmp_path):
    compiler = shutil.which("clang") or shutil.which("clang-14")
    if not compiler:
        pytest.skip("clang, which brings libFuzzer, is not installed")
    (tmp_path / "empty.c").write_text(
        "#include <stddef.h>\n#include <stdint.h>\n"
        "int LLVMFuzzerTestOneInput(const uint8_t *d, size_t n) { return d && n ? 0 : 0; }\n"
    )
    probe = [compiler, *SANITIZE, str(tmp_path / "empty.c"), "-o", str(tmp_path / "empty")]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this clang comes without libFuzzer or the sanitizers")
    sources = [str(path) for path in CSRC.glob("sd_*.c") if not path.name.startswith("sd_python")]
    program, corpus = str(tmp_path / "fuzz_core"), str(tmp_path / "corpus")
    build = [compiler, "-g", "-O1", "-std=c11", "-ffp-contract=off", *SANITIZE, f"-I{CSRC}"]
    subprocess.run([*build, str(ROOT / "fuzz" / "fuzz_core.c"), *sources, "-o", program], check=True)
    subprocess.run([sys.executable, str(ROOT / "fuzz" / "make_corpus.py"), corpus], check=True, cwd=ROOT)
    run = [program, "-runs=5000", "-seed=1", "-max_len=8192", corpus]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 5" in done.stderr
