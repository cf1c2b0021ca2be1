"""An arm64 userland for QEMU: Python, onnxruntime and ExecuTorch's libraries, in the user's cache folder.

    python -m sparsedevice.bench.emulated.userland      # fetch it now; what needs it does so itself

Debian's packages come through apt (which checks their signatures) into folders of their own, and wheels
through pip; nothing is installed on this machine and no right of root is needed.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from sparsedevice.bench.native.build import cache_folder
from sparsedevice.errors import TargetError

_DEBIAN = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
#: Installed beside those of this machine, so that both run the same versions.
_WHEELS = ("numpy", "onnxruntime", "executorch", "flatbuffers", "protobuf", "packaging")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_SECONDS = 150


def userland() -> Path:
    """The folder of the arm64 system, fetched where it is not there yet.

    Raises:
        TargetError: saying which step failed, without a network for one.
    """
    root = cache_folder() / "arm64-userland"
    with (root.parent / "arm64-userland.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes side by side fetch once
        return _fetch_once(root)


def python_of(root: Path) -> Path:
    """The arm64 Python in ``root``."""
    return next(path for path in sorted((root / "usr" / "bin").glob("python3.*")) if path.name[9:].isdigit())


def packages_of(root: Path) -> Path:
    """The folder of the arm64 wheels in ``root``."""
    return root / "opt" / "packages"


def environment(root: Path) -> dict[str, str]:
    """What the arm64 Python in ``root`` needs: its own packages, one thread, the same hashes each time."""
    return {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": str(packages_of(root)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _fetch_once(root: Path) -> Path:
    stamp = "\n".join(f"{name}=={_version(name)}" for name in _WHEELS)
    if (root / "complete").is_file() and (root / "complete").read_text() == stamp:
        return root
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".arm64.") as name:
        made = Path(name) / "root"
        _fetch_debian(Path(name) / "apt", made)
        python = python_of(made).name.removeprefix("python")
        platforms = [f"--platform={platform}" for platform in _PLATFORMS]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries=1", "--timeout=15"]
        only = ["--no-deps", "--only-binary=:all:", f"--python-version={python}", *platforms]
        _run([*pip, "install", "--quiet", *only, f"--target={packages_of(made)}", *stamp.split("\n")])
        _pretend_hardware(made)
        (made / "complete").write_text(stamp)
        shutil.rmtree(root, ignore_errors=True)
        made.replace(root)
    return root


def _version(package: str) -> str:
    try:
        return metadata.version(package).split("+")[0]
    except metadata.PackageNotFoundError as error:
        raise TargetError(
            f"{package} is not installed here, so that its arm64 build of the same version cannot be chosen;"
            " pip install 'sparsedevice[onnx,executorch]'"
        ) from error


def _fetch_debian(scratch: Path, root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise TargetError("apt-get and dpkg-deb are not installed: an arm64 Python is fetched with them")
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


def _run(command: Sequence[str | Path]) -> None:
    what = Path(str(command[0])).name
    try:
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"{what} took longer than {_SECONDS} s to fetch the arm64 packages") from error
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise TargetError(f"{what} could not fetch the arm64 packages: {said[-1] if said else 'no reason'}")


if __name__ == "__main__":
    sys.stdout.write(f"{userland()}\n")
