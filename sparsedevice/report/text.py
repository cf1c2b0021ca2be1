"""``report`` in a terminal: the page's sections as text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sparsedevice.report.collect import collect
from sparsedevice.report.sections import Section, build_sections
from sparsedevice.report.text_charts import draw_text

#: What a pipe or a file gets; rich would cut at 80 there.
_WIDTH = 120


def print_report(sources: Sequence[str | Path], file: TextIO | None = None) -> None:
    """Print what :func:`sparsedevice.report.report` would draw.

    Colours are left to the terminal's own: headings are bold, nothing else is coloured.

    Args:
        sources: as for :func:`sparsedevice.report.report`.
        file: where to; standard output where None.

    Raises:
        ConfigError: if a source is none of these.
        SparseDeviceError: if a source is damaged.
    """
    sections = build_sections(collect([Path(source) for source in sources]))
    file = file or sys.stdout
    console = Console(file=file, highlight=False, width=None if file.isatty() else _WIDTH)
    for section in sections:
        _print(section, console)


def _print(section: Section, console: Console) -> None:
    console.print(Text(f"\n{section.title}", style="bold"))
    if section.text:
        console.print(Text(section.text))
    if section.chart is not None:
        console.print()
        for line in draw_text(section.chart, console.width):
            console.print(Text(_writable(line, console.encoding)), no_wrap=True, overflow="crop")
    # Without a chart the numbers are all there is; with one they follow it, as on the page.
    if section.table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for place, name in enumerate(section.head):
            table.add_column(Text(name), justify="right" if place else "left", overflow="fold")
        for row in section.table:
            table.add_row(*(Text(_writable(cell, console.encoding)) for cell in row))
        console.print()
        console.print(table)


def _writable(text: str, encoding: str) -> str:
    """The text, its blocks and lines as ASCII where the terminal knows no others."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.translate(str.maketrans("█▁▂▃▄▅▆▇┤│└─µ", "#.,:;-+*|||-u"))
        return plain.encode(encoding, "replace").decode(encoding)
    return text
