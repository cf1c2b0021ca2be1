"""The core as other machines build it: by both compilers, freestanding, and for arm64 under emulation."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.runtime.reference import NumpyRecommender
from tests.runtime.conformance import CASES, Case, reference, write_case

CSRC = Path(__file__).parents[2] / "sparsedevice" / "runtime" / "csrc"
CHECK = Path(__file__).parent / "native" / "check_kernels.c"
SOURCES = sorted(path for path in CSRC.glob("sd_*.c") if not path.name.startswith("sd_python"))
STRICT = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
FLAGS = ["-std=c11", "-O2", "-ffp-contract=off"]


def tool(*names: str) -> str:
    for name in names:
        if shutil.which(name):
            return name
    pytest.skip(f"{names[0]} is not installed")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done


TARGETS = {
    "gcc": (("gcc",), []),
    "clang": (("clang", "clang-14"), []),
    "gcc for arm64": (("aarch64-linux-gnu-gcc",), []),
    "clang for arm64": (("clang", "clang-14"), ["--target=aarch64-linux-gnu"]),
    "clang for Android": (("clang", "clang-14"), ["--target=aarch64-linux-android23", "-fPIC"]),
    "clang for WebAssembly": (("clang", "clang-14"), ["--target=wasm32", "-msimd128"]),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """A function that compiles every file for a target, freestanding and without warnings, once."""

    @functools.cache
    def build(target: str) -> list[str]:
        names, options = TARGETS[target]
        compiler, folder = tool(*names), tmp_path_factory.mktemp("objects")
        objects = []
        for source in SOURCES:
            objects.append(str(folder / f"{source.stem}.o"))
            run([compiler, *FLAGS, *STRICT, "-ffreestanding", *options, "-c", str(source), "-o", objects[-1]])
        return objects

    return build


@pytest.mark.parametrize("target", TARGETS)
def test_builds_freestanding_without_warnings(target, built):
    """Every file compiles alone, and together they need nothing but what compilers assume: memory copies."""
    objects = built(target)
    listed = run([tool("llvm-nm", "llvm-nm-14", "nm"), *objects]).stdout if "arm64" not in target else ""
    needed = set(re.findall(r"^ +U (\w+)$", listed, re.MULTILINE))
    defined = set(re.findall(r"^[0-9a-f]+ [A-Za-z] (\w+)$", listed, re.MULTILINE))
    assert needed - defined <= {
        "memcpy",
        "memset",
        "memmove",
        "memcmp",
        "_GLOBAL_OFFSET_TABLE_",
        "__stack_pointer",
    }
    if "WebAssembly" not in target:  # there constants count as data
        assert not re.findall(r"^[0-9a-f]+ [DdBb] ", listed, re.MULTILINE), "no data that can change"


def lines_of(reference: NumpyRecommender) -> list[str]:
    """What check_kernels prints, answered by the reference."""
    packed = reference.packed
    ids = packed.vocabulary.ids
    lines = []
    for question in range(packed.n_users + 20):
        if question < packed.n_users:
            answer = reference.recommend(user=packed.user_vocabulary.ids[question], k=40)
        else:
            history = [ids[question * factor % packed.n_items] for factor in (1, 7, 31)]
            answer = reference.recommend(history=history, k=40)
        bits = answer.scores.view(np.uint32)
        lines.append(" ".join(f"{row}:{score:08x}" for row, score in zip(answer.rows, bits, strict=True)))
    return lines


def check(command: list[str], case: Case, tmp_path: Path) -> str:
    """Run the check on one table; the kernels that ran, as a bit mask in hexadecimal."""
    done = run([*command, str(write_case(tmp_path / "case.sd", case))])
    assert done.stdout.splitlines() == lines_of(reference(case))
    return done.stderr.split()[-1]


INTEGER_CASES = [case for case in CASES if case.integer]


def test_kernels_of_this_machine(tmp_path):
    program = str(tmp_path / "check")
    run([tool("cc", "gcc", "clang"), *FLAGS, f"-I{CSRC}", str(CHECK), *map(str, SOURCES), "-o", program])
    for case in INTEGER_CASES:
        check([program], case, tmp_path)


@pytest.mark.parametrize("target", ["gcc for arm64", "clang for arm64"])
def test_kernels_of_arm64_under_emulation(target, built, tmp_path):
    linker = tool("aarch64-linux-gnu-gcc")
    emulator = tool("qemu-aarch64", "qemu-aarch64-static")
    program = str(tmp_path / "check")
    run([linker, *FLAGS, "-static", f"-I{CSRC}", str(CHECK), *built(target), "-o", program])
    for case in INTEGER_CASES:
        kernels = int(check([emulator, "-cpu", "max", program], case, tmp_path), 16)
        assert kernels == 1 << 0 | 1 << 3 | 1 << 4, "scalar, NEON and NEON with dot products"
