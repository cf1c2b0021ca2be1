"""What this process holds in memory, as the kernel counts it."""

from __future__ import annotations

import ctypes
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")
_MAPS = Path("/proc/self/smaps")
#: Why memory is None where it cannot be read.
UNAVAILABLE = "this platform has no /proc/self/smaps_rollup (Linux 4.14 and later do)"


@dataclass(frozen=True)
class Memory:
    """A reading.

    Attributes:
        anonymous_bytes: resident pages that belong to no file, and their part of the swap. ``Private_Dirty``
            would also count a file's own pages until the kernel has written them to disk.
        total_bytes: all resident pages, those of shared libraries too.
    """

    anonymous_bytes: int
    total_bytes: int


def read_memory() -> Memory | None:
    """A reading of this process; None where the platform offers none."""
    try:
        lines = _ROLLUP.read_text().splitlines()[1:]
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    if "Anonymous" not in sizes:
        return None
    return Memory(sizes["Anonymous"] + sizes.get("Swap", 0), sizes["Rss"])


def release_free_memory() -> None:
    """Hand freed heap back to the kernel, so that later allocations show up as growth; glibc only."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def resident_file_bytes(folder: Path) -> int | None:
    """Resident bytes of mappings of files in ``folder``; None where the platform does not tell."""
    try:
        lines = _MAPS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    inside, total = False, 0
    prefix = f"{folder.resolve()}/"
    for line in lines:
        fields = line.split(maxsplit=5)
        if not fields[0].endswith(":"):  # a mapping: range, rights, offset, device, inode, path
            inside = len(fields) == 6 and fields[5].startswith(prefix)
        elif inside and fields[0] == "Rss:":
            total += int(fields[1]) * 1024
    return total
