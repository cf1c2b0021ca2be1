"""The C core as WebAssembly, compiled with what this machine has.

A module stands alone: no C library, no imports, its memory grown by JavaScript. Two are made: one for every
browser, and one with SIMD (Chrome 91, Firefox 89, Safari 16.4 and Node 16, or newer).
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sparsedevice.runtime
from sparsedevice.errors import MissingExtraError, SparseDeviceError

CORE = Path(sparsedevice.runtime.__file__).parent / "csrc"
BINDING = Path(__file__).parent / "csrc" / "sd_web.c"
#: Files of the core that a module is made of.
SOURCES = (
    "sd_core",
    "sd_crc32",
    "sd_fold",
    "sd_query",
    "sd_scan",
    "sd_select",
    "sd_text",
    "sd_topk",
    "sd_verify",
    "sd_verify_strings",
    "sd_wasm",
)
# What a query spends most of its time in is made fast, and all else small, but what finds ids and chooses the
# best less so: with -Oz finding an id takes four times as long.
_HOT = {False: "sd_scan", True: "sd_wasm"}
_WARM = ("sd_select", "sd_text", "sd_topk")
# zig makes -Oz -Os, unless its compiler is told behind its back.
_SMALLEST = ("-Oz", "-Xclang", "-Oz")
MODULES = {"sparsedevice.wasm": False, "sparsedevice-simd.wasm": True}

# No contraction into fused multiply-adds: every backend must round in the same places.
_COMPILE = ("-std=c11", "-ffreestanding", "-fno-builtin", "-ffp-contract=off", f"-I{CORE}", "-c")
_LINK = (
    "--no-entry",
    "--gc-sections",
    "--strip-all",
    "--compress-relocations",
    "--export=__heap_base",
    "-z",
    "stack-size=65536",
)


def compile_modules(folder: Path) -> list[str]:
    """Compile both modules into ``folder`` and return their names.

    Raises:
        MissingExtraError: if this machine has no compiler for WebAssembly.
        SparseDeviceError: if a compiler fails; the sentence carries what it said.
    """
    compiler, linker = find_tools()
    with tempfile.TemporaryDirectory() as name:
        for module, simd in MODULES.items():
            hot = CORE / f"{_HOT[simd]}.c"
            warm = _join(Path(name) / "warm.c", [CORE / f"{source}.c" for source in _WARM])
            others = [CORE / f"{source}.c" for source in SOURCES if source not in (hot.stem, *_WARM)]
            cold = _join(Path(name) / "cold.c", [*others, BINDING])
            objects = [
                _compile_file(compiler, hot, ["-O3"], simd=simd, folder=Path(name)),
                _compile_file(compiler, warm, ["-Os", "-DSD_SMALL"], simd=simd, folder=Path(name)),
                _compile_file(compiler, cold, [*_SMALLEST, "-DSD_SMALL"], simd=simd, folder=Path(name)),
            ]
            _run([*linker, *_LINK, *map(str, objects), "-o", str(folder / module)])
            (folder / module).chmod(0o644)  # the linker makes programs
    return list(MODULES)


def find_tools() -> tuple[list[str], list[str]]:
    """Commands of a C compiler for WebAssembly and of its linker: clang with wasm-ld, or the package ziglang.

    Raises:
        MissingExtraError: naming both ways to get one.
    """
    clang, linker = shutil.which("clang"), shutil.which("wasm-ld")
    if clang and linker:
        return [clang, "--target=wasm32"], [linker]
    if importlib.util.find_spec("ziglang"):
        zig = [sys.executable, "-m", "ziglang"]
        return [*zig, "cc", "--target=wasm32-freestanding"], [*zig, "wasm-ld"]
    raise MissingExtraError(
        "target 'web' compiles the C core to WebAssembly and found no compiler for it; install one:"
        " pip install 'sparsedevice[web]', or on Debian and Ubuntu: apt install clang lld"
    )


def _join(joined: Path, sources: Sequence[Path]) -> Path:
    """One source: what several files share is then there once."""
    joined.write_text("".join(f'#include "{source.as_posix()}"\n' for source in sources))
    return joined


def _compile_file(
    compiler: Sequence[str], source: Path, options: Sequence[str], *, simd: bool, folder: Path
) -> Path:
    made = folder / f"{source.stem}.o"
    _run([*compiler, *_COMPILE, *options, *(["-msimd128"] if simd else []), str(source), "-o", str(made)])
    return made


def _run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = (result.stderr or result.stdout).strip()
        raise SparseDeviceError(f"{command[0]} could not compile the C core to WebAssembly: {said}")
