"""A table in a text file: its columns, a lazy scan by polars, and its records with line numbers."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from sparsedevice.data.columns import guess
from sparsedevice.data.options import DataOptions
from sparsedevice.errors import DataError
from sparsedevice.extras import require

if TYPE_CHECKING:
    import polars as pl

_SEPARATORS = ",\t;|"
_EARLIEST_SECOND = 100_000  # a number above is no rating


@dataclass(frozen=True)
class TextTable:
    """A text file of records, one per line (or more, where a quoted field holds line ends).

    Attributes:
        path: the file; a name that ends in .gz is decompressed.
        columns: distinct names, one per field.
        separator: between fields: one character, or "::".
        has_header: whether the first record holds names, not data.
        quoted: whether a field may stand in double quotes.
    """

    path: Path
    columns: tuple[str, ...]
    separator: str
    has_header: bool
    quoted: bool

    def scan(self) -> pl.LazyFrame:
        """Every column as text; blank lines appear as rows of empty texts."""
        polars = require("polars", extra="train")
        separator = self.separator
        source: Path | bytes = self.path
        if separator == "::":  # polars takes one byte; fields of such files hold neither tabs nor colons
            with open_bytes(self.path) as file:
                source, separator = file.read().replace(b"::", b"\t"), "\t"
        frame = polars.scan_csv(
            source,
            separator=separator,
            has_header=self.has_header,
            with_column_names=lambda _: list(self.columns),  # the header's own may be typed or unnamed
            infer_schema=False,
            quote_char='"' if self.quoted else None,
            empty_string_is_null=False,
        )
        return cast("pl.LazyFrame", frame)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Line number (from 1) and fields of each record of data that is not blank.

        Raises:
            DataError: if the file is not UTF-8, or a quote is never closed.
        """
        for line, fields in _records(self.path, self.separator, self.quoted):
            if line > 1 or not self.has_header:
                yield line, fields

    def check_shape(self) -> None:
        """Read the file once, slowly, for a line with too few or too many fields.

        Raises:
            DataError: at the first such line, or as ``records``.
        """
        for line, fields in self.records():
            self.check_fields(line, fields)

    def check_fields(self, line: int, fields: list[str]) -> None:
        """Raise DataError unless a record has one field per column."""
        if len(fields) != len(self.columns):
            raise DataError(
                f"{self.path}, line {line}: {len(fields)} fields where {len(self.columns)} are expected "
                f"(separator {self.separator!r}): {self.separator.join(fields)[:60]!r}"
            )


def open_table(path: Path, options: DataOptions, separator: str | None = None) -> TextTable:
    """Look at the first line of a file: separator, header or none, columns.

    A first line without a usual or asked-for column name that holds a number is data: the columns are then
    called "1", "2", …, or user, item, rating, timestamp where the options name none and there are 2 to 4.

    Raises:
        DataError: if the file is empty or not UTF-8, or its columns cannot be told.
    """
    first = first_line(path)
    separator = options.separator or separator or max(_SEPARATORS, key=first.count)
    _, fields = next(_records(path, separator, quoted=True))
    fields = [field.strip() for field in fields]
    asked = (options.user_column, options.item_column)
    is_header = any(name in fields for name in asked if name) or any(
        guess(kind, fields) for kind in ("user", "item")
    )
    if is_header or not any(_is_number(field) for field in fields):
        return TextTable(path, _header(path, fields), separator, has_header=True, quoted=True)
    by_number = tuple(str(place + 1) for place in range(len(fields)))
    names = by_number if any(asked) else _headerless(path, fields)
    return TextTable(path, names, separator, has_header=False, quoted=True)


def first_line(path: Path) -> str:
    """The first line of a UTF-8 file.

    Raises:
        DataError: if the file is empty or cannot be read, or the line is blank or not UTF-8.
    """
    with open_bytes(path) as file:
        first = _read(path, file)
    if not first:
        raise DataError(f"{path} is empty; give a file with a header and one interaction per line")
    try:
        text = first.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, 1, error) from None
    if not text.strip():
        raise DataError(f"{path}, line 1 is blank; the header must be on it")
    return text


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, decompressed where its name ends in .gz.

    Raises:
        DataError: if it cannot be opened.
    """
    try:
        return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _read(path: Path, file: BinaryIO) -> bytes:
    try:
        return file.readline()
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def _lines(path: Path) -> Iterator[str]:
    with open_bytes(path) as file:
        number = 0
        while line := _read(path, file):
            number += 1
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, number, error) from None


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"{path}, line {line}: byte {error.start + 1} of the line (0x{error.object[error.start]:02x}) "
        f"is not UTF-8; convert it, for example with: iconv -f latin1 -t utf-8 {path.name}"
    )


def _records(path: Path, separator: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    if not quoted:
        for number, text in enumerate(_lines(path), start=1):
            if text.strip():
                yield number, text.rstrip("\r\n").split(separator)
        return
    reader = csv.reader(_lines(path), delimiter=separator, strict=True)
    line = 1
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {line}: {error}; check the quotes") from None


def _header(path: Path, fields: list[str]) -> tuple[str, ...]:
    names = tuple(field or f"unnamed {place + 1}" for place, field in enumerate(fields))
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(f"{path}, line 1: the header has the column {name!r} twice; rename one")
    return names


def _headerless(path: Path, fields: list[str]) -> tuple[str, ...]:
    if not 2 <= len(fields) <= 4:
        raise DataError(
            f"{path}, line 1 holds data, not a header, in {len(fields)} column(s); "
            "say which are which, as in --user-column 1 --item-column 2 --rating-column 3, or add a header"
        )
    if len(fields) == 3:
        third = fields[2]
        is_time = not _is_number(third) or abs(float(third)) >= _EARLIEST_SECOND
        return ("user", "item", "timestamp" if is_time else "rating")
    return ("user", "item", "rating", "timestamp")[: len(fields)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
