"""Readers of plain tables: CSV, TSV and Parquet; one file, or a folder with train, test and perhaps valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sparsedevice.data.columns import resolve
from sparsedevice.data.frames import Part, join, read_parquet, read_text_table
from sparsedevice.data.log import Log, PartName
from sparsedevice.data.options import DataOptions
from sparsedevice.data.text_table import open_table
from sparsedevice.errors import DataError

# Stems of the files of a folder that comes split.
_STEMS: tuple[tuple[PartName, tuple[str, ...]], ...] = (
    ("train", ("train",)),
    ("validation", ("valid", "validation", "val")),
    ("test", ("test",)),
)


def read_csv(path: Path, options: DataOptions) -> Log:
    """Read comma-separated files (or with the separator that the header shows), with or without a header.

    Raises:
        DataError: if a file or column is missing, or a line is malformed.
        MissingExtraError: if polars is not installed.
    """
    return _read(path, (".csv", ".csv.gz"), lambda file: _read_text(file, options, None))


def read_tsv(path: Path, options: DataOptions) -> Log:
    """Read tab-separated files, with or without a header.

    Raises:
        DataError: as ``read_csv``.
        MissingExtraError: as ``read_csv``.
    """
    return _read(path, (".tsv", ".tsv.gz"), lambda file: _read_text(file, options, "\t"))


def read_parquet_files(path: Path, options: DataOptions) -> Log:
    """Read Parquet files.

    Raises:
        DataError: if a file or column is missing, or a row holds no id or no number where one must be.
        MissingExtraError: as ``read_csv``.
    """
    return _read(
        path,
        (".parquet", ".pq"),
        lambda file: read_parquet(file, lambda columns: resolve(columns, options, str(file))),
    )


def _read(path: Path, suffixes: tuple[str, ...], read_file: Callable[[Path], Part]) -> Log:
    return join([(part, read_file(file)) for part, file in _files(path, suffixes)])


def _read_text(path: Path, options: DataOptions, separator: str | None) -> Part:
    table = open_table(path, options, separator)
    return read_text_table(table, resolve(table.columns, options, str(path)))


def _files(path: Path, suffixes: tuple[str, ...]) -> list[tuple[PartName, Path]]:
    if path.is_file():
        return [("train", path)]
    found = [
        (part, path / f"{stem}{suffix}")
        for part, stems in _STEMS
        for stem in stems
        for suffix in suffixes
        if (path / f"{stem}{suffix}").is_file()
    ]
    names = [part for part, _ in found]
    if "train" not in names:
        raise DataError(f"{path} holds no train{suffixes[0]} (nor test{suffixes[0]}); give the file itself")
    if len(set(names)) < len(names):
        files = ", ".join(file.name for _, file in found)
        raise DataError(f"{path} holds several files for one part ({files}); keep one each")
    return found
