"""Misses of the data caches of arm64 cores, modelled under emulation. Never a time."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparsedevice.bench.machines.qemu import EMULATOR, build_plugin, emulate
from sparsedevice.errors import TargetError

LINE_BYTES = 64


@dataclass(frozen=True)
class Caches:
    """KiB and ways of a core's first and second level of data cache.

    The sizes are a choice within what the core's manual allows: a55 has 16 to 64 and 64 to 256 KiB (the
    second is an option), a76 has 64 and 128 to 512, x3 has 64 and 512 or 1,024.
    """

    l1_kib: int
    l1_ways: int
    l2_kib: int
    l2_ways: int


CORES: Mapping[str, Caches] = {
    "cortex-a55": Caches(32, 4, 128, 4),
    "cortex-a76": Caches(64, 4, 512, 8),
    "cortex-x3": Caches(64, 4, 1024, 8),
}


@dataclass(frozen=True)
class Misses:
    """What a function asked of a core's caches, and what they had not."""

    accesses: int
    l1: int
    l2: int


def cache_misses(
    command: list[str], cores: Mapping[str, Caches] = CORES, *, marked: bool = False
) -> dict[str, dict[str, Misses]]:
    """Run an arm64 program with its loads and stores going through modelled caches.

    64-byte lines, least recently used, write-allocate; cold at the start. No prefetching and no third level,
    so that a scan through memory misses more than on the core itself.

    Args:
        command: the program and its arguments.
        cores: caches by name; all see the same run.
        marked: count only between the marks that ``functions.h`` describes; the caches see everything.

    Returns:
        By core and function.

    Raises:
        TargetError: if the plugin cannot be built, or the program fails.
    """
    plugin = build_plugin("cache")
    described = ",".join(f"{name}:{c.l1_kib}:{c.l1_ways}:{c.l2_kib}:{c.l2_ways}" for name, c in cores.items())
    found: dict[str, dict[str, Misses]] = {name: {} for name in cores}
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "misses.tsv"
        env = {"SD_CACHES": described, "SD_CACHE_OUT": str(table), **({"SD_MARKED": "1"} if marked else {})}
        emulate(command, ["-plugin", str(plugin)], env)
        if not table.is_file():
            raise TargetError(f"{EMULATOR} ran without the cache plugin; is it built with plugin support?")
        for line in table.read_text().splitlines():
            function, core, *numbers = line.split("\t")
            found[core][function] = Misses(*map(int, numbers))
    return found


def misses_between(
    once: list[str], more: list[str], parts: int, cores: Mapping[str, Caches] = CORES
) -> dict[str, dict[str, float]]:
    """Misses of all functions in the longer run less those in the shorter, a part, by core.

    The first run warms the caches of the second: what is left are the misses of a steady state.
    """
    before, after = (_sums(cache_misses(command, cores)) for command in (once, more))
    return {
        core: {level: (after[core][level] - before[core][level]) / parts for level in after[core]}
        for core in cores
    }


def misses_of_marked(
    command: list[str], parts: int, cores: Mapping[str, Caches] = CORES
) -> dict[str, dict[str, float]]:
    """Misses of all functions between a program's marks, a part, by core."""
    found = _sums(cache_misses(command, cores, marked=True))
    return {core: {level: misses / parts for level, misses in found[core].items()} for core in cores}


def _sums(found: Mapping[str, Mapping[str, Misses]]) -> dict[str, dict[str, int]]:
    return {
        core: {
            "l1_misses": sum(function.l1 for function in functions.values()),
            "l2_misses": sum(function.l2 for function in functions.values()),
        }
        for core, functions in found.items()
    }
