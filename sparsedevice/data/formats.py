"""The table of readers, and which one a path calls for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsedevice.data.lightgcn import read_lightgcn
from sparsedevice.data.log import Log
from sparsedevice.data.movielens import RATINGS, read_movielens
from sparsedevice.data.options import DataOptions
from sparsedevice.data.recbole import read_recbole
from sparsedevice.data.tables import read_csv, read_parquet_files, read_tsv
from sparsedevice.errors import DataError

Reader = Callable[[Path, DataOptions], Log]

READERS: dict[str, Reader] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet_files,
    "movielens": read_movielens,
    "lightgcn": read_lightgcn,
    "recbole": read_recbole,
}

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".data": "movielens",
    ".dat": "movielens",
    ".inter": "recbole",
}
# For a folder: the first pattern that matches a file in it.
_PATTERNS = {
    "train.txt": "lightgcn",
    **dict.fromkeys(RATINGS, "movielens"),
    "*.inter": "recbole",
    "train.csv": "csv",
    "train.csv.gz": "csv",
    "train.tsv": "tsv",
    "train.tsv.gz": "tsv",
    "train.parquet": "parquet",
    "train.pq": "parquet",
}


def reader_for(path: Path, options: DataOptions) -> Reader:
    """The reader of an existing file or folder: the one asked for, else by the names of the files.

    Raises:
        DataError: if the names fit no format.
    """
    return READERS[_guess(path) if options.format == "auto" else options.format]


def _guess(path: Path) -> str:
    if path.is_dir():
        for pattern, name in _PATTERNS.items():
            if any(path.glob(pattern)):
                return name
        raise DataError(
            f"{path} holds no log that is known: looked for {', '.join(_PATTERNS)}; give the file itself"
        )
    if path.name == "train.txt":
        return "lightgcn"
    if path.name == "ratings.csv" and any(
        (path.parent / f"movies.{end}").is_file() for end in ("csv", "dat")
    ):
        return "movielens"
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() not in _SUFFIXES:
        raise DataError(
            f"the format of {path} cannot be told from its name; choose --format {', '.join(READERS)}"
        )
    return _SUFFIXES[suffix.lower()]
