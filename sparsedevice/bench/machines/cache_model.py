"""Misses of the data caches of arm64 cores, modelled under emulation. Never a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparsedevice.bench.native.build import HERE, compile_once, find_compiler
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


def cache_misses(command: list[str], cores: Mapping[str, Caches] = CORES) -> dict[str, dict[str, Misses]]:
    """Run an arm64 program with its loads and stores going through modelled caches.

    64-byte lines, least recently used, write-allocate; cold at the start. No prefetching and no third level,
    so that a scan through memory misses more than on the core itself.

    Args:
        command: the program and its arguments.
        cores: caches by name; all see the same run.

    Returns:
        By core and function.

    Raises:
        TargetError: if the plugin cannot be built, or the program fails.
    """
    from sparsedevice.bench.machines.qemu import EMULATOR, emulate

    source = HERE / "cache.c"
    flags = ["-shared", "-fPIC", "-O2", "-std=gnu11", str(source)]
    compiler = find_compiler(os.uname().machine)
    plugin = compile_once("cache.so", compiler, flags, [source, HERE / "qemu_plugin.h"])
    described = ",".join(f"{name}:{c.l1_kib}:{c.l1_ways}:{c.l2_kib}:{c.l2_ways}" for name, c in cores.items())
    found: dict[str, dict[str, Misses]] = {name: {} for name in cores}
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "misses.tsv"
        emulate(command, ["-plugin", str(plugin)], {"SD_CACHES": described, "SD_CACHE_OUT": str(table)})
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
    runs = [
        {
            core: [sum(getattr(f, key) for f in functions.values()) for key in ("l1", "l2")]
            for core, functions in cache_misses(command, cores).items()
        }
        for command in (once, more)
    ]
    return {
        core: {
            "l1_misses": (runs[1][core][0] - runs[0][core][0]) / parts,
            "l2_misses": (runs[1][core][1] - runs[0][core][1]) / parts,
        }
        for core in cores
    }
