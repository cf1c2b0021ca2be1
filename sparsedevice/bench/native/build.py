"""Building small C programs once, for this machine or another, into the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import sparsedevice.exporters
from sparsedevice.errors import TargetError

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "runtime" / "csrc"
#: ``sd-bench`` is one of the tools that bundles of the C target hold.
TOOLS = Path(sparsedevice.exporters.__file__).parent / "c" / "csrc"
#: A compiler to use instead of the one that is looked for.
COMPILER_VARIABLE = "SPARSEDEVICE_CC"
#: No contraction into fused multiply-adds: every build must round in the same places.
FLAGS = ("-std=c11", "-O3", "-g", "-ffp-contract=off", "-static")
_NAMES = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "arm", "armv7l": "arm", "i686": "i386"}


def normal_machine(machine: str) -> str:
    """The name under which a processor is known to compilers."""
    return _NAMES.get(machine.lower(), machine.lower())


def build_tool(machine: str, compiler: Sequence[str] = ()) -> Path:
    """``sd-bench`` for one kind of processor: one static program, no library needed.

    Args:
        machine: as ``uname -m`` prints it.
        compiler: a compiler and its first arguments, instead of the one that is found.

    Raises:
        TargetError: if there is no compiler for it, or the build fails.
    """
    core = sorted(path for path in CORE.glob("*.c") if not path.name.startswith("sd_python"))
    sources = [TOOLS / "sd_bench.c", *core]
    depends = [*TOOLS.glob("sd_bench*.h"), *CORE.glob("*.h"), *CORE.glob("*.inc")]
    program, *first = compiler or [find_compiler(machine)]
    arguments = [*first, *FLAGS, f"-I{CORE}", *map(str, sources), "-lm"]
    return compile_once(f"sd-bench-{normal_machine(machine)}", program, arguments, [*sources, *depends])


def find_compiler(machine: str) -> str:
    """A C compiler that makes programs for a kind of processor.

    Raises:
        TargetError: naming what to install.
    """
    wanted = normal_machine(machine)
    candidates = [os.environ.get(COMPILER_VARIABLE, "")]
    if wanted == normal_machine(platform.machine()):
        candidates.append("cc")
    candidates += [f"{wanted}-linux-gnu-gcc", f"{wanted}-linux-gnueabihf-gcc", f"{wanted}-linux-musl-gcc"]
    for name in candidates:
        if name and shutil.which(name):
            return name
    package = f"gcc-{wanted.replace('_', '-')}-linux-gnu"
    raise TargetError(
        f"there is no C compiler for {wanted} (Debian and Ubuntu: apt install {package});"
        f" install one, or name it in {COMPILER_VARIABLE}"
    )


def cache_folder() -> Path:
    """Where built programs are kept, made where it is missing."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sparsedevice"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compile_once(
    name: str,
    compiler: str,
    arguments: Sequence[str],
    inputs: Sequence[Path],
    *,
    folder: Path | None = None,
) -> Path:
    """Compile, or take what was compiled before from the same bytes in the same way.

    Args:
        name: of the file, before a hash.
        compiler: the program.
        arguments: everything but ``-o``.
        inputs: files whose bytes decide, besides the arguments.
        folder: where the compiler runs, so that arguments need not say where the inputs are.

    Raises:
        TargetError: with the compiler's first complaint.
    """
    digest = hashlib.sha256(repr((shutil.which(compiler), list(arguments))).encode())
    for path in sorted(inputs, key=lambda path: path.name):
        digest.update(path.read_bytes())
    cache = cache_folder()
    built = cache / f"{name}-{digest.hexdigest()[:16]}"
    if built.exists():
        return built
    with tempfile.TemporaryDirectory(dir=cache, prefix=".build.") as scratch:
        made = Path(scratch) / name
        try:
            done = subprocess.run(
                [compiler, *arguments, "-o", str(made)],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
            )
        except OSError as error:
            raise TargetError(f"cannot run {compiler}: {error.strerror}; install it") from error
        if done.returncode:
            complaint = next(
                (line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()
            )
            raise TargetError(f"{compiler} could not build {name}: {complaint}")
        made.replace(built)
    return built
