"""Reader of RecBole's atomic files: tabs, a header of ``name:type``, titles in the .item file."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.data.columns import resolve
from sparsedevice.data.frames import Part, join, read_text_table
from sparsedevice.data.item_titles import read_titles
from sparsedevice.data.log import Log, PartName
from sparsedevice.data.options import DataOptions
from sparsedevice.data.text_table import TextTable, first_line
from sparsedevice.errors import DataError

_PARTS: tuple[tuple[PartName, str], ...] = (
    ("train", ".train.inter"),
    ("validation", ".valid.inter"),
    ("test", ".test.inter"),
)


def read_recbole(path: Path, options: DataOptions) -> Log:
    """Read an .inter file, or a folder with one, or with NAME.train.inter, NAME.valid.inter, NAME.test.inter.

    Raises:
        DataError: if the folder holds no such file or several, the header has no types, or a line is
            malformed.
        MissingExtraError: if polars is not installed.
    """
    files = _find(path)
    parts = [(part, _read_file(file, options)) for part, file in files]
    stem = files[0][1].name.removesuffix(".inter").removesuffix(".train")
    items = files[0][1].with_name(f"{stem}.item")
    return join(parts, read_titles(items, "\t", typed_header=True) if items.is_file() else None)


def _find(path: Path) -> list[tuple[PartName, Path]]:
    if path.is_file():
        return [("train", path)]
    found = sorted(path.glob("*.inter"))
    trains = [file for file in found if file.name.endswith(".train.inter")]
    if len(trains) == 1:
        stem = trains[0].name.removesuffix(".train.inter")
        parts = [(part, path / f"{stem}{suffix}") for part, suffix in _PARTS]
        return [(part, file) for part, file in parts if file.is_file()]
    if not found:
        raise DataError(f"{path} is no RecBole folder: looked for NAME.inter and NAME.train.inter")
    if len(found) > 1:
        raise DataError(f"{path} holds {', '.join(file.name for file in found)}; give the one file to read")
    return [("train", found[0])]


def _read_file(path: Path, options: DataOptions) -> Part:
    fields = first_line(path).split("\t")
    untyped = next((field for field in fields if ":" not in field), None)
    if untyped is not None:
        raise DataError(
            f"{path}, line 1: the column {untyped!r} has no type; "
            "a RecBole header reads user_id:token, item_id:token, …"
        )
    columns = tuple(field.split(":")[0].strip() for field in fields)
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise DataError(f"{path}, line 1: the header has the column {twice!r} twice; rename one")
    table = TextTable(path, columns, "\t", has_header=True, quoted=False)
    return read_text_table(table, resolve(columns, options, str(path)))
