"""Which source code measured: the commit, where this package runs from a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[2]
INSTALLED = "installed from a package, not from a checkout of its repository; the version names the source"
NO_GIT = "git is not there to ask, or does not answer for this checkout"


def source_commit(root: Path = _ROOT) -> tuple[str | None, str]:
    """The commit of the checkout in ``root``, with ``-dirty`` behind it where files differ from it.

    Returns:
        The commit, or None; and why there is none.
    """
    # A package inside somebody else's repository is not a checkout of ours.
    if not (root / ".git").exists() or not (root / "sparsedevice" / "__init__.py").is_file():
        return None, INSTALLED
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, NO_GIT
    return (f"{commit}-dirty" if changed else commit), ""


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
