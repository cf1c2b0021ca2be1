"""This machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sparsedevice.bench.machines.base import Machine, lines_of


class LocalMachine(Machine):
    """Commands run as processes of their own; files stay where they are."""

    def __init__(self) -> None:
        self.name = "host"
        self.python = sys.executable

    def place(self, path: Path, name: str | None = None) -> str:
        """See :meth:`Machine.place`."""
        del name  # files stay where they are
        return str(path.resolve())

    def stream(self, command: Sequence[str]) -> Iterator[str]:
        """See :meth:`Machine.stream`."""
        return lines_of(command, self.name)

    def close(self) -> None:
        """See :meth:`Machine.close`."""
