"""QEMU's user-mode emulation of arm64, and a plugin that counts what a program executes. Never a time."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparsedevice.bench.machines.base import lines_of
from sparsedevice.bench.native.build import HERE, compile_once, find_compiler
from sparsedevice.errors import TargetError

EMULATOR = "qemu-aarch64"


@dataclass(frozen=True)
class Counts:
    """What a function executed."""

    instructions: int
    loads: int
    load_bytes: int
    stores: int
    store_bytes: int

    def minus(self, other: Counts, parts: int) -> dict[str, float]:
        """The difference, a part."""
        mine, theirs = asdict(self), asdict(other)
        return {name: (mine[name] - theirs[name]) / parts for name in mine}


_NOTHING = Counts(0, 0, 0, 0, 0)


def find_emulator(machine: str = "aarch64") -> str:
    """The program that runs another processor's programs.

    Raises:
        TargetError: naming what to install.
    """
    for name in (f"qemu-{machine}", f"qemu-{machine}-static"):
        if shutil.which(name):
            return name
    raise TargetError(f"qemu-{machine} is not installed (Debian and Ubuntu: apt install qemu-user)")


def emulate(
    command: list[str], plugin: list[str] | None = None, env: dict[str, str] | None = None
) -> list[str]:
    """The lines that an arm64 program prints, with every extension that the emulator knows.

    Raises:
        TargetError: if the emulator is missing or the program fails.
    """
    emulator = find_emulator()
    full = {**os.environ, **(env or {})}
    return list(lines_of([emulator, "-cpu", "max", *(plugin or []), *command], "qemu-arm64", env=full))


def build_plugin(name: str) -> Path:
    """One of the plugins in ``native``, for the emulator on this machine.

    Raises:
        TargetError: if there is no compiler, or it fails.
    """
    source = HERE / f"{name}.c"
    flags = ["-shared", "-fPIC", "-O2", "-std=gnu11", str(source)]
    inputs = [source, HERE / "functions.h", HERE / "qemu_plugin.h"]
    return compile_once(f"{name}.so", find_compiler(os.uname().machine), flags, inputs)


def count_program(
    command: list[str], trace: Path | None = None, prefix: str = "", *, marked: bool = False
) -> tuple[dict[str, Counts], dict[str, Any]]:
    """Run an arm64 program and count what each of its functions executes.

    Args:
        command: the program and its arguments.
        trace: file for the code of every executed instruction, in order, of the functions named ``prefix…``.
        prefix: how their names begin.
        marked: count only between the marks that ``functions.h`` describes.

    Returns:
        Counts by function, and the last JSON object that the program printed ({} if none).

    Raises:
        TargetError: if the plugin cannot be built, or the program fails.
    """
    plugin = build_plugin("count")
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "counts.tsv"
        env = {"SD_COUNT_OUT": str(table)}
        if marked:
            env["SD_MARKED"] = "1"
        if trace is not None:
            env |= {"SD_TRACE_OUT": str(trace), "SD_TRACE_PREFIX": prefix}
        lines = emulate(command, ["-plugin", str(plugin)], env)
        if not table.is_file():
            raise TargetError(f"{EMULATOR} ran without the counting plugin; is it built with plugin support?")
        found: dict[str, Counts] = {}
        for line in table.read_text().splitlines():
            name, *numbers = line.split("\t")
            found[name] = Counts(*map(int, numbers))
    return found, _last_object(lines)


def _last_object(lines: list[str]) -> dict[str, Any]:
    """The last line that is a JSON object; programs may print other things, tensors for one."""
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}


def counts_between(
    once: list[str], more: list[str], parts: int, trace: Path | None = None, prefix: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the longer run executed beyond the shorter, a part: the counts of a steady state.

    Args:
        once: the program and its arguments for the shorter run.
        more: the same for the longer one.
        parts: how much longer it is.
        trace: as for :func:`count_program`, of the longer run.
        prefix: as for :func:`count_program`.

    Returns:
        Totals, and in ``functions`` the same by function, the busiest first; and the last JSON object that
        the longer run printed.
    """
    before, _ = count_program(once)
    after, said = count_program(more, trace, prefix)
    return _totals(
        {name: counts.minus(before.get(name, _NOTHING), parts) for name, counts in after.items()}
    ), said


def counts_of_marked(command: list[str], parts: int) -> dict[str, Any]:
    """What a program executes between its marks, a part; as the first of :func:`counts_between`."""
    found, _ = count_program(command, marked=True)
    return _totals({name: counts.minus(_NOTHING, parts) for name, counts in found.items()})


def _totals(functions: dict[str, dict[str, float]]) -> dict[str, Any]:
    some = {name: counts for name, counts in functions.items() if any(counts.values())}
    totals = {key: sum(counts[key] for counts in some.values()) for key in asdict(_NOTHING)}
    return {**totals, "functions": dict(sorted(some.items(), key=lambda f: -f[1]["instructions"]))}


def version() -> str:
    """What the emulator calls itself."""
    lines = list(lines_of([find_emulator(), "--version"], "qemu-arm64"))
    return lines[0].strip() if lines else EMULATOR
