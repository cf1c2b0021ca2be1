"""An arm64 userland for QEMU: Python, onnxruntime, ExecuTorch's libraries; fetched into ``build/arm64``.

    python -m tests.emulation.arm64      # fetch it now; the tests do so themselves

Debian's packages come through apt (which checks their signatures) into folders of their own, and wheels
through pip; nothing is installed on this machine and no right of root is needed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2] / "build" / "arm64"
COMPILERS = {"CC": "aarch64-linux-gnu-gcc", "CXX": "aarch64-linux-gnu-g++"}
_DEBIAN = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
#: Installed beside those of this machine, so that both run the same versions.
_WHEELS = ("numpy", "onnxruntime", "executorch", "flatbuffers", "protobuf", "packaging")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_SECONDS = 150


class UnavailableError(Exception):
    """What is missing, in one sentence."""


def emulator(machine: str = "aarch64") -> str:
    """The program that runs another processor's programs."""
    for name in (f"qemu-{machine}", f"qemu-{machine}-static"):
        if shutil.which(name):
            return name
    raise UnavailableError(f"qemu-{machine} is not installed (Debian and Ubuntu: apt install qemu-user)")


def compiler(variable: str) -> str:
    """The cross compiler for C or C++."""
    name = COMPILERS[variable]
    if shutil.which(name) is None:
        raise UnavailableError(
            f"{name} is not installed (Debian and Ubuntu: apt install {name[-3:]}-aarch64-linux-gnu)"
        )
    return name


def userland() -> Path:
    """The folder of the arm64 system, fetched where it is not there yet.

    Raises:
        UnavailableError: saying which step failed, without a network for one.
    """
    ROOT.parent.mkdir(parents=True, exist_ok=True)
    with (ROOT.parent / ".arm64.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes side by side fetch once
        return _fetch_once()


def _fetch_once() -> Path:
    stamp = "\n".join(f"{name}=={metadata.version(name)}" for name in _WHEELS)
    if (ROOT / "complete").is_file() and (ROOT / "complete").read_text() == stamp:
        return ROOT
    with tempfile.TemporaryDirectory(dir=ROOT.parent, prefix=".arm64.") as name:
        made = Path(name) / "root"
        _fetch_debian(Path(name) / "apt", made)
        python = python_of(made).name.removeprefix("python")
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1", "--timeout=15"]
        only = ["--no-deps", "--only-binary=:all:", f"--python-version={python}", *platforms]
        _run([*pip, "install", "--quiet", *only, f"--target={made / 'opt' / 'packages'}", *stamp.split("\n")])
        _pretend_hardware(made)
        (made / "complete").write_text(stamp)
        shutil.rmtree(ROOT, ignore_errors=True)
        made.replace(ROOT)
    return ROOT


def python_of(root: Path) -> Path:
    """The arm64 Python in ``root``."""
    return next(path for path in sorted((root / "usr" / "bin").glob("python3.*")) if path.name[9:].isdigit())


def command(program: Sequence[str | Path]) -> list[str]:
    """The command that runs an arm64 program on the libraries of the userland."""
    return [emulator(), "-cpu", "max", "-L", str(ROOT), *map(str, program)]


def environment() -> dict[str, str]:
    """The environment for the arm64 Python; also lets programs find ExecuTorch's libraries."""
    packages = ROOT / "opt" / "packages"
    return {
        **os.environ,
        "PYTHONHOME": str(ROOT / "usr"),
        "PYTHONPATH": str(packages),
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _fetch_debian(scratch: Path, root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnavailableError("apt-get and dpkg-deb are not installed: an arm64 Python is fetched with them")
    for name in ("lists/partial", "archives/partial"):
        (scratch / name).mkdir(parents=True)
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Acquire::http::Timeout": "15",
        "Acquire::Retries": "1",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
        "Dir::State": scratch,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": scratch,
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"])
    _run([*apt, "install", "--yes", "--no-install-recommends", "--download-only", *_DEBIAN])
    for package in sorted((scratch / "archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", package, root])


def _pretend_hardware(root: Path) -> None:
    """Describe one arm64 core: reading this machine's own description makes onnxruntime crash."""
    cpus = root / "sys" / "devices" / "system" / "cpu"
    for folder in (root / "proc", cpus):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (cpus / name).write_text("0\n")
    (root / "proc" / "cpuinfo").write_text(
        "processor\t: 0\nFeatures\t: fp asimd fphp asimdhp asimddp\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
    )


def _run(command_: Sequence[str | Path]) -> None:
    what = Path(str(command_[0])).name
    try:
        done = subprocess.run(
            [str(part) for part in command_], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{what} took longer than {_SECONDS} s to fetch the arm64 packages") from error
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise UnavailableError(
            f"{what} could not fetch the arm64 packages: {said[-1] if said else 'no reason'}"
        )


if __name__ == "__main__":
    print(userland())
