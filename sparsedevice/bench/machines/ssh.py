"""Any Linux machine that can be reached by ssh without a password."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from sparsedevice.bench.machines.base import Machine, lines_of
from sparsedevice.errors import ConfigError, TargetError

#: ssh's own exit code for a connection that could not be made or broke.
_LOST = 255
#: Never ask; give up on a silent machine after 15 seconds.
_OPTIONS = ("BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3")


class SshMachine(Machine):
    """Files travel through ``cat``, so that nothing but a shell is needed on the other side."""

    def __init__(
        self, url: str, *, python: str = "python3", config: Path | None = None, folder: str | None = None
    ) -> None:
        """Take apart ``ssh://[user@]host[:port]``.

        Args:
            url: the machine.
            python: the Python there that has this package, for the Python harness.
            config: a configuration file for ssh instead of the user's own.
            folder: an existing folder there to work below; None for the temporary folder.

        Raises:
            ConfigError: if the address is malformed.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{url}: {error}; write ssh://user@host:port") from error
        # A host that starts with a dash would be read as an option.
        if parts.scheme != "ssh" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ConfigError(f"{url} is not an address such as ssh://user@host:port")
        if parts.hostname.startswith("-") or (parts.username or "").startswith("-"):
            raise ConfigError(f"{url} is not an address such as ssh://user@host:port")
        self.name = url
        self.python = python
        host = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname
        options = [word for option in _OPTIONS for word in ("-o", option)]
        self._ssh = ["ssh", *(["-F", str(config)] if config else []), *options]
        self._ssh += [*(["-p", str(port)] if port else []), host]
        self._parent = folder
        self._folder: str | None = None

    def place(self, path: Path, name: str | None = None) -> str:
        """See :meth:`Machine.place`."""
        there = f"{self._work_folder()}/{name or path.name}"
        quoted = shlex.quote(there)
        mode = "755" if path.stat().st_mode & 0o100 else "644"
        command = (
            f'mkdir -p "$(dirname {quoted})" && cat > {quoted} && chmod {mode} {quoted} && wc -c < {quoted}'
        )
        with path.open("rb") as file:
            done = subprocess.run(
                [*self._ssh, command], stdin=file, capture_output=True, text=True, check=False
            )
        if done.returncode:
            words = done.stderr.strip().splitlines()
            raise TargetError(
                f"{self.name}: cannot put {path.name} there: {words[-1] if words else 'no reason'}"
            )
        if done.stdout.strip() != str(path.stat().st_size):
            raise TargetError(f"{self.name}: {path.name} did not arrive whole; is the disk there full?")
        return there

    def stream(self, command: Sequence[str]) -> Iterator[str]:
        """See :meth:`Machine.stream`."""
        return lines_of([*self._ssh, shlex.join(command)], self.name, lost_code=_LOST)

    def close(self) -> None:
        """See :meth:`Machine.close`."""
        if self._folder is not None:
            with contextlib.suppress(TargetError):
                self.output(["rm", "-rf", self._folder])
            self._folder = None

    def _work_folder(self) -> str:
        if self._folder is None:
            parent = shlex.quote(self._parent) if self._parent else '"${TMPDIR:-/tmp}"'
            made = self.output(["sh", "-c", f"mktemp -d {parent}/sparsedevice.XXXXXX"]).strip()
            if not made.startswith("/"):
                raise TargetError(f"{self.name}: cannot make a folder there; it answered {made!r}")
            self._folder = made
        return self._folder
