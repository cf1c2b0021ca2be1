"""Titles from the small file of items that stands beside a log."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from sparsedevice.data.columns import guess
from sparsedevice.errors import DataError


def read_titles(path: Path, separator: str, *, typed_header: bool = False) -> dict[str, str]:
    """Titles by item id.

    Args:
        path: UTF-8, or else ISO-8859-1.
        separator: "," (CSV) and tab come with a header; "::" and "|" without one, as id, title, …
        typed_header: whether the header reads ``name:type``.

    Raises:
        DataError: if the file cannot be read or a line holds no title. A header that names no item or no
            title gives no titles.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("iso-8859-1")
    lines = text.splitlines()
    if separator == ",":
        records: Iterable[tuple[int, list[str]]] = _csv_records(path, lines)
    else:
        records = ((n, line.split(separator)) for n, line in enumerate(lines, start=1) if line.strip())
    id_place, title_place = 0, 1
    titles: dict[str, str] = {}
    has_header = separator in (",", "\t")
    for number, fields in records:
        if has_header and not titles and number == 1:
            names = [field.split(":")[0].strip() if typed_header else field.strip() for field in fields]
            item, title = guess("item", names), guess("title", names)
            if item is None or title is None:
                return {}
            id_place, title_place = names.index(item), names.index(title)
        elif len(fields) <= max(id_place, title_place):
            raise DataError(
                f"{path}, line {number}: no title in {separator.join(fields)[:60]!r} "
                f"(separator {separator!r})"
            )
        else:
            titles.setdefault(fields[id_place].strip(), fields[title_place].strip())
    return titles


def _csv_records(path: Path, lines: list[str]) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(lines)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; check the quotes") from None
