"""An arm64 program that answers questions while it is emulated, and what it was asked, to ask it again."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from sparsedevice.bench.emulated.userland import environment
from sparsedevice.bench.machines.qemu import find_emulator
from sparsedevice.errors import TargetError


class Server:
    """A program on the libraries of the userland, until it is closed.

    Attributes:
        asked: every byte that it was sent.
    """

    def __init__(self, program: Sequence[str | Path], root: Path) -> None:
        """Start it.

        Args:
            program: the arm64 program and its arguments; it reads questions from standard input.
            root: the userland.

        Raises:
            TargetError: if the emulator is not installed.
        """
        self.asked = bytearray()
        self._program, self._root = [str(part) for part in program], root
        self._process = subprocess.Popen(
            [find_emulator(), "-cpu", "max", *self._arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def again(self, asked: Path) -> list[str]:
        """What follows the emulator's name to put the same questions, to be counted between marks.

        Args:
            asked: a file with :attr:`asked`.
        """
        return [*self._arguments(), str(asked)]

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def send(self, data: bytes) -> None:
        """Ask."""
        assert self._process.stdin is not None
        self.asked += data
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._lost()

    def line(self) -> str:
        """The next line of the answer.

        Raises:
            TargetError: if the program has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.endswith("\n"):
            self._lost()
        return line

    def read(self, n: int) -> bytes:
        """The next bytes of the answer."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(n)
        if len(data) != n:
            self._lost()
        return data

    def _arguments(self) -> list[str]:
        variables = [
            word for name, value in environment(self._root).items() for word in ("-E", f"{name}={value}")
        ]
        return ["-L", str(self._root), *variables, *self._program]

    def _lost(self) -> None:
        code = self._process.wait()
        raise TargetError(f"qemu-arm64: {Path(self._program[0]).name} ended with exit code {code}")
