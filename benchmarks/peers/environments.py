"""One environment for each set of pinned packages, made once in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path


def python_for(requirements: list[str]) -> str:
    """A Python that has exactly these versions: this one where it does, else one made for them.

    Packages come from the index that pip is configured for.
    """
    if all(_here(requirement) for requirement in requirements):
        return sys.executable
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sparsedevice" / "peers"
    key = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:16]
    folder = cache / key
    python = folder / "bin" / "python"
    done = folder / "requirements.txt"
    if not done.is_file():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # torch first and alone: packages installed after it then accept the build that is there.
        first = [requirement for requirement in requirements if requirement.startswith("torch==")]
        for group in (first, requirements):
            if group:
                subprocess.run([*pip, *group], check=True)
        done.write_text("\n".join(requirements) + "\n")
    return str(python)


def _here(requirement: str) -> bool:
    name, _, version = requirement.partition("==")
    try:
        return metadata.version(name).split("+")[0] == version
    except metadata.PackageNotFoundError:
        return False
