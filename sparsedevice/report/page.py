"""``report``: the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

from sparsedevice import __version__
from sparsedevice.errors import ConfigError
from sparsedevice.extras import require
from sparsedevice.files import atomic_file
from sparsedevice.report.collect import collect
from sparsedevice.report.sections import build_sections

EXTRA = "report"


def check_report(out: Path) -> Any:
    """Find out whether a page could be written; returns the module ``jinja2``.

    Raises:
        ConfigError: if ``out`` is a folder.
        MissingExtraError: if the extra ``report`` is not installed.
    """
    require("matplotlib", extra=EXTRA)
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; name a file such as report.html")
    return require("jinja2", extra=EXTRA)


def report(
    sources: Sequence[str | Path], out: str | Path = "report.html", *, title: str = "sparsedevice report"
) -> Path:
    """Write one HTML page that needs nothing else: no network, no script.

    Args:
        sources: run folders, bundles, sweeps, and files of ``bench`` or ``profile --output json``.
        out: the page.
        title: its heading.

    Returns:
        ``out``.

    Raises:
        ConfigError: if a source is none of these.
        MissingExtraError: if the extra ``report`` is not installed.
        SparseDeviceError: if a source is damaged, or the page cannot be written.
    """
    out = Path(out)
    jinja2 = check_report(out)
    from sparsedevice.report.figures import draw

    sections = [
        {**vars(section), "svg": draw(section.chart) if section.chart else ""}
        for section in build_sections(collect([Path(source) for source in sources]))
    ]
    template = resources.files("sparsedevice.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, sparsedevice {__version__}"
    page = environment.from_string(template).render(title=title, made=made, sections=sections)
    with atomic_file(out) as file:
        file.write(page.encode())
    return out
