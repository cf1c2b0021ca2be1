"""What this process holds in memory, as the kernel counts it, and what the page cache holds."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sparsedevice.errors import ConfigError

_ROLLUP = Path("/proc/self/smaps_rollup")
_MAPS = Path("/proc/self/smaps")
_STATUS = Path("/proc/self/status")
#: Why memory is None where it cannot be read.
UNAVAILABLE = "this platform has no /proc/self/smaps_rollup (Linux 4.14 and later do)"


@dataclass(frozen=True)
class Memory:
    """A reading.

    Attributes:
        anonymous_bytes: resident pages that belong to no file, and their part of the swap. ``Private_Dirty``
            would also count a file's own pages until the kernel has written them to disk.
        total_bytes: all resident pages, those of shared libraries too.
        pss_bytes: resident pages, each divided by the number of processes that share it.
    """

    anonymous_bytes: int
    total_bytes: int
    pss_bytes: int


def read_memory() -> Memory | None:
    """A reading of this process; None where the platform offers none."""
    try:
        lines = _ROLLUP.read_text().splitlines()[1:]
    except OSError:
        return None
    sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    if "Anonymous" not in sizes:
        return None
    return Memory(sizes["Anonymous"] + sizes.get("Swap", 0), sizes["Rss"], sizes["Pss"])


def reset_peak() -> None:
    """Let the peak of resident memory start from now; nothing happens where the platform cannot."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident_bytes() -> int | None:
    """The most resident memory since :func:`reset_peak`; file pages count. None where unknown."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


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


def drop_cached(paths: Iterable[Path]) -> None:
    """Ask the kernel to forget the pages of files that nobody has mapped.

    Raises:
        ConfigError: if the platform offers no such call.
    """
    if not hasattr(os, "posix_fadvise"):
        raise ConfigError("this platform cannot drop files from the page cache; use --cache warm")
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # a page that is not yet on disk stays
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_bytes(paths: Iterable[Path]) -> int | None:
    """Bytes of files that are in the page cache, by ``mincore``; None where the platform does not tell."""
    if sys.platform != "linux":
        return None
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    page, total = mmap.PAGESIZE, 0
    for path in paths:
        size = path.stat().st_size
        if not size:
            continue
        with open(path, "rb") as file:
            # A private mapping: ctypes wants a writable buffer to know its address.
            mapped = mmap.mmap(
                file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE
            )
        anchor = ctypes.c_char.from_buffer(mapped)
        pages = (ctypes.c_ubyte * -(-size // page))()
        failed = mincore(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(size), pages)
        del anchor
        mapped.close()
        if failed:
            return None
        total += min(page * sum(state & 1 for state in pages), size)
    return total
