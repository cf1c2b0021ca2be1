"""The table of readers, and which one a path calls for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsedevice.data.lightgcn import read_lightgcn
from sparsedevice.data.log import Log
from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError

Reader = Callable[[Path, DataOptions], Log]

READERS: dict[str, Reader] = {"lightgcn": read_lightgcn}


def reader_for(path: Path, options: DataOptions) -> Reader:
    """The reader of an existing file or folder: the one asked for, else by the names of the files.

    Raises:
        DataError: if no format fits.
    """
    name = options.format
    if name == "auto":
        name = "lightgcn"
    if name not in READERS:
        raise DataError(f"no reader for format {name!r}")
    return READERS[name]
