"""A peer as a process of its own: JSON lines in and out."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import python_for


class PeerError(Exception):
    """A peer that cannot run here."""


class Peer:
    """A running script with ``REQUIREMENTS`` and ``VARIANTS``.

    Attributes:
        name: script and variant, for people.
        requirements: its pinned packages.
    """

    def __init__(self, script: Path, variant: str, *arguments: str, threads: int = 1) -> None:
        """Start it, in an environment made for it.

        Args:
            script: the file.
            variant: one of its ``VARIANTS``.
            arguments: after the variant.
            threads: what OpenMP may use there; libraries for linear algebra get one.

        Raises:
            PeerError: if its packages cannot be installed.
        """
        self.name = name_of(script, variant)
        self.requirements: list[str] = read_script(script).REQUIREMENTS
        limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        limits["OMP_WAIT_POLICY"] = "passive"  # a thread that waits in a loop takes the others' time
        try:
            python = python_for(self.requirements)
        except subprocess.CalledProcessError as error:
            raise PeerError(f"{self.name}: pip could not install {', '.join(self.requirements)}") from error
        self._process = subprocess.Popen(
            [python, str(script), variant, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits},
        )

    def read(self) -> dict[str, Any]:
        """Its next line.

        Raises:
            PeerError: if there is none.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        while True:
            line = self._process.stdout.readline()
            if not line:
                complaint = self._process.stderr.read().strip().splitlines()
                raise PeerError(f"{self.name} stopped: {complaint[-1] if complaint else 'no reason given'}")
            if line.startswith("{"):
                value: dict[str, Any] = json.loads(line)
                return value

    def write(self, line: str) -> None:
        """Tell it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer to a question."""
        self.write(json.dumps(question))
        return self.read()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def read_script(script: Path) -> Any:
    """The module of a peer, without the packages that it needs."""
    if str(script.parent) not in sys.path:
        sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(script: Path, variant: str) -> str:
    """Script and variant, for people."""
    return " ".join(dict.fromkeys(f"{script.stem.replace('_', ' ')} {variant}".split()))


def scripts_in(
    folder: Path, first: str, only: list[str] | None = None, *, keep_first: bool = True
) -> list[tuple[Path, str]]:
    """The peers of a folder, files that say what they require, and their variants; ours first.

    Args:
        folder: where they are.
        first: ours.
        only: names to keep, of a script or ``script:variant``.
        keep_first: ours stays whatever is given.
    """
    found = [path for path in sorted(folder.glob("*.py")) if "\nREQUIREMENTS" in path.read_text()]
    pairs = [(path, variant) for path in found for variant in read_script(path).VARIANTS]
    kept = [
        (path, variant)
        for path, variant in pairs
        if (keep_first and path.stem == first)
        or not only
        or path.stem in only
        or f"{path.stem}:{variant}" in only
    ]
    return sorted(kept, key=lambda pair: pair[0].stem != first)
