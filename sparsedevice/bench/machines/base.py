"""The interface of a machine: put files there, run a command, follow what it prints."""

from __future__ import annotations

import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sparsedevice.bench.facts import SCRIPT, parse_facts
from sparsedevice.errors import TargetError


class Machine(ABC):
    """Runs commands somewhere. Used as a context manager, it takes its files away again.

    Attributes:
        name: as the user gave it.
        python: the Python there that has this package.
    """

    name: str
    python: str

    @abstractmethod
    def place(self, path: Path, name: str | None = None) -> str:
        """Where a file is on the machine, put there first where needed.

        Args:
            path: the file here.
            name: its path below the working folder there; None for the file's own name.

        Raises:
            TargetError: if the file cannot be put there whole.
        """

    @abstractmethod
    def stream(self, command: Sequence[str]) -> Iterator[str]:
        """The lines that a command prints on standard output, while it runs.

        Raises:
            TargetError: if the command fails, with its own words, or the machine is lost.
        """

    @abstractmethod
    def close(self) -> None:
        """Take the files away; silent where the machine is gone."""

    def output(self, command: Sequence[str]) -> str:
        """Everything that a command prints.

        Raises:
            TargetError: as :meth:`stream`.
        """
        return "\n".join(self.stream(command))

    def facts(self) -> dict[str, Any]:
        """What the machine says about itself at this moment.

        Raises:
            TargetError: if it cannot be asked.
        """
        return parse_facts(self.output(["sh", "-c", SCRIPT]))

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines_of(
    command: Sequence[str], who: str, *, lost_code: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Lines of standard output of a program on this machine, while it runs; it dies with the generator.

    Args:
        command: the program and its arguments.
        who: for errors.
        lost_code: exit code that means that a connection broke.
        env: environment; None for this process's own.

    Raises:
        TargetError: if the program is missing or fails; with the last line of its standard error.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                errors="replace",
                env=None if env is None else dict(env),
            )
        except OSError as error:
            raise TargetError(f"cannot run {command[0]}: {error.strerror}; install it") from error
        try:
            assert process.stdout is not None
            for line in process.stdout:
                yield line.rstrip("\r\n")
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if code:
            complaints.seek(0)
            words = complaints.read().strip().splitlines()
            said = words[-1] if words else f"exit code {code}"
            verb = "the connection was lost or refused" if code == lost_code else "a command failed"
            raise TargetError(f"{who}: {verb}: {said}")
