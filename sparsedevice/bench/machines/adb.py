"""A phone or tablet with Android, through the Android debug bridge."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sparsedevice.bench.machines.base import Machine, lines_of
from sparsedevice.errors import ConfigError, TargetError

FOLDER = "/data/local/tmp"
#: Old shells of the bridge report no exit code, so that each command prints its own.
_MARK = "sparsedevice-exit-code="
#: ``Temperature{mValue=31.2, mType=0, mName=CPU0, mStatus=0}``
_TEMPERATURE = re.compile(r"Temperature\{mValue=([-\d.]+), mType=-?\d+, mName=([^,}]+)")
#: What ``dumpsys battery`` prints that a figure depends on.
_BATTERY = (
    "AC powered",
    "USB powered",
    "Wireless powered",
    "status",
    "level",
    "temperature",
    "Charge counter",
)


class AdbMachine(Machine):
    """Runs as the phone's shell user, in the folder where it may write; an app's limits do not hold there."""

    def __init__(self, spec: str, *, python: str = "python3", folder: str | None = None) -> None:
        """Take apart ``adb`` or ``adb:SERIAL``.

        Args:
            spec: the phone; without a serial number the only one that is connected.
            python: a Python there that has this package, for the Python harness.
            folder: an existing folder there to work below.

        Raises:
            ConfigError: if the serial number is empty.
        """
        scheme, colon, serial = spec.partition(":")
        if scheme != "adb" or (colon and not serial):
            raise ConfigError(f"{spec!r} is not adb or adb:SERIAL; 'adb devices' lists the serial numbers")
        self.name = spec
        self.python = python
        self._adb = ["adb", *(["-s", serial] if serial else [])]
        self._folder = f"{folder or FOLDER}/sparsedevice.{os.getpid()}"
        self._made = False

    def place(self, path: Path, name: str | None = None) -> str:
        """See :meth:`Machine.place`."""
        there = f"{self._folder}/{name or path.name}"
        self.output(["mkdir", "-p", os.path.dirname(there)])
        self._made = True
        for _ in lines_of([*self._adb, "push", str(path), there], self.name):
            pass
        if path.stat().st_mode & 0o100:
            self.output(["chmod", "755", there])
        size = self.output(["sh", "-c", f"wc -c < {shlex.quote(there)}"]).strip()
        if size != str(path.stat().st_size):
            raise TargetError(f"{self.name}: {path.name} did not arrive whole; is the phone's storage full?")
        return there

    def stream(self, command: Sequence[str]) -> Iterator[str]:
        """See :meth:`Machine.stream`."""
        # Standard error comes after, behind the mark: old shells mix both streams.
        errors = f"{self._folder}.stderr"
        line = f"{shlex.join(command)} 2>{errors}; code=$?; echo; echo {_MARK}$code"
        line += f"; cat {errors}; rm -f {errors}"
        code, words, before = None, [], ""
        for text in lines_of([*self._adb, "shell", line], self.name):
            if code is not None:
                words.append(text)
            elif text.startswith(_MARK):
                code = text[len(_MARK) :]
            else:
                if before:
                    yield before
                before = text
        if code is None:
            raise TargetError(
                f"{self.name}: the connection was lost; is the phone still plugged in and unlocked?"
            )
        if before:
            yield before
        if code != "0":
            said = next((word for word in reversed(words) if word.strip()), f"exit code {code}")
            raise TargetError(f"{self.name}: a command failed: {said}")

    def facts(self) -> dict[str, Any]:
        """See :meth:`Machine.facts`; with battery and thermal state, None where the phone does not tell."""
        facts = super().facts()
        for name, service, parse in (
            ("battery", "battery", parse_battery),
            ("thermal", "thermalservice", parse_thermal),
        ):
            facts[name] = None
            with contextlib.suppress(TargetError):
                facts[name] = parse(self.output(["dumpsys", service])) or None
        return facts

    def close(self) -> None:
        """See :meth:`Machine.close`."""
        if self._made:
            with contextlib.suppress(TargetError):
                self.output(["rm", "-rf", self._folder])
            self._made = False


def parse_battery(text: str) -> dict[str, str]:
    """What ``dumpsys battery`` says about charging, level (percent) and temperature (tenths of a degree)."""
    pairs = (line.strip().partition(": ") for line in text.splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon and name in _BATTERY}


def parse_thermal(text: str) -> dict[str, Any]:
    """Throttling (0 none to 6 shutdown) and degrees Celsius by sensor, from ``dumpsys thermalservice``."""
    status = re.search(r"Thermal Status: (\d+)", text)
    found: dict[str, Any] = {} if status is None else {"status": int(status[1])}
    current = text.partition("Current temperatures from HAL")[2] or text
    celsius = {name: float(value) for value, name in _TEMPERATURE.findall(current)}
    return {**found, "celsius": celsius} if celsius else found
