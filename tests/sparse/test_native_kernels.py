"""The kernels of training as other compilers and processors build them: no warning, the same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "sparsedevice" / "sparse" / "csrc"
CHECK = Path(__file__).parent / "native" / "check_kernels.c"
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off"]
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BUILDS = {
    "gcc": (("gcc",), STRICT),
    "clang": (("clang", "clang-14"), STRICT),
    "clang with sanitizers": (("clang", "clang-14"), SANITIZERS),
    "gcc for arm64": (("aarch64-linux-gnu-gcc",), [*STRICT, "-static"]),
}


def hashes(build: str, folder: Path) -> str:
    """What the program prints, built and run as the build says; skips where a tool is missing."""
    names, options = BUILDS[build]
    compiler = next((name for name in names if shutil.which(name)), None)
    if compiler is None:
        pytest.skip(f"{names[0]} is not installed")
    emulator = ["qemu-aarch64"] if "arm64" in build else []
    if emulator and not shutil.which(emulator[0]):
        pytest.skip(f"{emulator[0]} is not installed")
    program = folder / "check"
    sources = [path for path in sorted(CSRC.glob("sd_*.c")) if "python" not in path.name]
    command = [compiler, *FLAGS, *options, f"-I{CSRC}", CHECK, *sources, "-lm", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Its memory is freed with the process.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run([*emulator, program], capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@cache
def ordinary(folder: Path) -> str:
    return hashes("gcc", folder)


@pytest.mark.parametrize("build", [name for name in BUILDS if name != "gcc"])
def test_every_build_writes_the_same_bits(build: str, tmp_path: Path) -> None:
    expected = ordinary(tmp_path)
    assert len(set(expected.split()[1::2])) > 1
    assert hashes(build, tmp_path) == expected
