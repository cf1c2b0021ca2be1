"""Calling the machine's C or C++ compiler, with errors in one sentence."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sparsedevice.errors import SparseDeviceError

_COMPILERS = {"CC": ("cc", "gcc", "clang"), "CXX": ("c++", "g++", "clang++")}


def find_compiler(variable: str = "CC") -> list[str]:
    """The command of a compiler: that of the environment variable ``CC`` or ``CXX``, else the first found.

    Raises:
        SparseDeviceError: if there is none.
    """
    chosen = os.environ.get(variable)
    if chosen:
        return shlex.split(chosen)
    for name in _COMPILERS[variable]:
        path = shutil.which(name)
        if path:
            return [path]
    language = "C" if variable == "CC" else "C++"
    raise SparseDeviceError(
        f"this target measures its artefact with a {language} compiler, and none of"
        f" {', '.join(_COMPILERS[variable])} is installed; install one (Debian and Ubuntu: apt install g++)"
    )


def run_compiler(command: Sequence[str | Path]) -> None:
    """Run a compiler.

    Raises:
        SparseDeviceError: if it cannot be started or fails; the sentence carries the first error it reported.
    """
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    except OSError as error:
        raise SparseDeviceError(f"cannot run {command[0]}: {error.strerror}; set CC or CXX") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise SparseDeviceError(f"{command[0]} failed: {said[0].strip() if said else 'no reason given'}")
