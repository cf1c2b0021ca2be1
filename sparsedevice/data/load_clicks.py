"""From a source to a click log, and to its split."""

from __future__ import annotations

import re
from pathlib import Path

from sparsedevice.data.click_movielens import read_movielens_clicks
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.click_tables import read_click_table
from sparsedevice.data.clicks import ClickLog, ClickSplit, join_clicks, split_clicks
from sparsedevice.data.libfm import read_libfm
from sparsedevice.data.log import PARTS
from sparsedevice.data.movielens import RATINGS
from sparsedevice.errors import DataError

_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".libfm": "libfm", ".svm": "libfm"}
_PART_WORDS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation",
               "dev": "validation", "test": "test"}  # fmt: skip


def load_clicks(source: str | Path, options: ClickOptions | None = None) -> ClickSplit:
    """Read a click log and split it by row.

    Args:
        source: a CSV, TSV or libfm file; a folder of such files whose names hold train, valid (or validation,
            val, dev) or test; or a MovieLens 1M folder, whose high ratings are clicks.
        options: columns and split; None takes the defaults.

    Raises:
        DataError: if the source cannot be read or split as asked: one sentence with file, line and value.
        MissingExtraError: if the format needs a package that is not installed.
    """
    options = options or ClickOptions()
    return split_clicks(read_clicks(source, options), options)


def read_clicks(source: str | Path, options: ClickOptions | None = None) -> ClickLog:
    """Read a click log, all its parts joined; arguments and errors as in ``load_clicks``."""
    options = options or ClickOptions()
    path = Path(source)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; give a click log")
    if options.format == "movielens" or (
        options.format == "auto" and any(_is_movielens(path, name) for name in RATINGS)
    ):
        return read_movielens_clicks(path, options)
    if path.is_file():
        return _read_file(path, options)
    parts = _parts(path, options)
    logs = [(PARTS.index(name), _read_file(file, options)) for name, file in parts]
    for (_, file), (_, log) in zip(parts, logs, strict=True):
        if _columns(log) != _columns(logs[0][1]):
            raise DataError(f"{file} has other columns than {parts[0][1]}; name their kinds in the options")
    return join_clicks(logs)


def _is_movielens(path: Path, ratings: str) -> bool:
    folder = path if path.is_dir() else path.parent
    return (path.is_dir() or path.name == ratings) and all(
        (folder / name).is_file() for name in (ratings, "users.dat", "movies.dat")
    )


def _read_file(path: Path, options: ClickOptions) -> ClickLog:
    name = options.format if options.format != "auto" else _SUFFIXES.get(_suffix(path))
    if name is None:
        raise DataError(
            f"the format of {path} cannot be told from its name; choose --format csv, tsv, libfm or movielens"
        )
    if name == "libfm":
        return read_libfm(path)
    return read_click_table(path, options, "\t" if name == "tsv" else None)


def _parts(folder: Path, options: ClickOptions) -> list[tuple[str, Path]]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if options.format == "auto" and _suffix(file) not in _SUFFIXES:
            continue
        part = next((_PART_WORDS[w] for w in re.split(r"[._-]", file.name.lower()) if w in _PART_WORDS), None)
        if part in found:
            raise DataError(
                f"{folder} holds two files for {part}: {found[part].name} and {file.name}; keep one"
            )
        if part is not None:
            found[part] = file
    if not found:
        raise DataError(
            f"{folder} holds no click log: looked for {', '.join(_SUFFIXES)} files with train, valid or test "
            "in their names; give the file itself"
        )
    return [(part, found[part]) for part in PARTS if part in found]


def _suffix(path: Path) -> str:
    return (path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix).lower()


def _columns(log: ClickLog) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(column.name for column in log.categories), log.number_names
