"""``report``: the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

from sparsedevice import __version__
from sparsedevice.errors import ConfigError
from sparsedevice.extras import require
from sparsedevice.files import atomic_file
from sparsedevice.report.collect import Material, collect

EXTRA = "report"


@dataclass
class Section:
    """A heading, a figure, and its numbers."""

    title: str
    text: str = ""
    svg: str = ""
    head: Sequence[str] = ()
    table: list[list[str]] = field(default_factory=list)


def report(
    sources: Sequence[str | Path], out: str | Path = "report.html", *, title: str = "sparsedevice report"
) -> Path:
    """Write one HTML page that needs nothing else: no network, no script.

    Args:
        sources: run folders, bundles, sweeps, and files of ``bench --output json`` or ``jsonl``.
        out: the page.
        title: its heading.

    Returns:
        ``out``.

    Raises:
        ConfigError: if a source is none of these.
        MissingExtraError: if the extra ``report`` is not installed.
        SparseDeviceError: if a source is damaged, or the page cannot be written.
    """
    jinja2 = require("jinja2", extra=EXTRA)
    require("matplotlib", extra=EXTRA)
    out = Path(out)
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; give --out a file such as report.html")
    material = collect([Path(source) for source in sources])
    template = resources.files("sparsedevice.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, sparsedevice {__version__}"
    page = environment.from_string(template).render(title=title, made=made, sections=build_sections(material))
    with atomic_file(out) as file:
        file.write(page.encode())
    return out


def build_sections(material: Material) -> list[Section]:
    """The sections that there is something to show in."""
    from sparsedevice.report import figures

    sections = []
    if material.summaries:
        sections.append(_summary(material.summaries))
    if material.points:
        best = set(figures.frontier_of(material.points))
        rows = [
            [p.label, p.group, f"{p.item_bytes:,}", f"{p.accuracy:.4f}", "yes" if p in best else ""]
            for p in sorted(material.points, key=lambda p: p.item_bytes)
        ]
        sections.append(
            Section(
                "Size and accuracy",
                "Each mark is a model on the test part; the steps join those that nothing smaller beats.",
                figures.frontier(material.points, material.metric),
                ["model", "kind", "bytes of the item table", material.metric, "on the frontier"],
                rows,
            )
        )
    sections += _of_benches(material.benches)
    if material.profiles:
        groups = {
            name: {g: sum(sizes.values()) for g, sizes in found["bytes"]["groups"].items()}
            for name, found in material.profiles.items()
        }
        names = list(dict.fromkeys(group for found in groups.values() for group in found))
        sections.append(
            Section(
                "Where the bytes go",
                "The packed file by what its sections are for.",
                figures.sections(material.profiles),
                ["part", *groups],
                [[name, *(f"{found.get(name, 0):,}" for found in groups.values())] for name in names],
            )
        )
    if material.popularity:
        tenths = max(len(means) for means in material.popularity.values())
        sections.append(
            Section(
                "Sparsity by popularity",
                "Active entries of an item, from the most used tenth of the items to the least used.",
                figures.by_popularity(material.popularity),
                ["run", *(str(i + 1) for i in range(tenths))],
                [[name, *(f"{mean:.2f}" for mean in means)] for name, means in material.popularity.items()],
            )
        )
    if material.curves:
        sections.append(
            Section(
                "Training",
                "On the validation part, which nothing was trained on.",
                figures.curves(material.curves),
                ["run", "looks at validation", "last"],
                [
                    [name, f"{len(history)}", ", ".join(f"{k} {v:.4f}" for k, v in history[-1].items())]
                    for name, history in material.curves.items()
                ],
            )
        )
    return sections


def _of_benches(results: Sequence[Mapping[str, Any]]) -> list[Section]:
    from sparsedevice.bench.render import column_names
    from sparsedevice.report import figures

    timed = [result for result in results if result.get("p50_us") is not None]
    sections = []
    if timed:
        named = dict(zip(column_names(timed), timed, strict=True))
        keys = (
            "load_ms",
            "first_query_us",
            "p50_us",
            "p90_us",
            "p99_us",
            "n",
            "file_bytes",
            "anonymous_bytes",
        )
        rows = [[name, *(_number(result.get(key)) for key in keys)] for name, result in named.items()]
        places = [result["environment"] for result in timed]
        where = {f"{place['cpu'] or place['machine']}, {place['os']}" for place in places}
        sections.append(
            Section(
                "Latency",
                f"One query at a time, warm. Measured on: {'; '.join(sorted(where))}.",
                figures.latencies(named),
                ["", *keys],
                rows,
            )
        )
        known = {name: r for name, r in named.items() if r.get("anonymous_bytes") is not None}
        if known:
            sections.append(
                Section(
                    "Memory",
                    "Anonymous memory is the process's own; mapped pages can be dropped and read back.",
                    figures.memory(known),
                )
            )
    emulated = [result for result in results if "counts" in result]
    if emulated:
        rows = [
            [name, *(f"{r['counts'][key]:,.0f}" for key in ("instructions", "loads", "load_bytes"))]
            for name, r in zip(column_names(emulated), emulated, strict=True)
        ]
        head = ["", "instructions a query", "loads a query", "bytes loaded a query"]
        sections.append(
            Section("Emulated arm64", "Exact counts; no time of a device.", head=head, table=rows)
        )
    return sections


def _summary(summaries: Mapping[str, Mapping[str, Any]]) -> Section:
    keys = list(dict.fromkeys(key for summary in summaries.values() for key in summary))
    rows = [[key, *(_number(summary.get(key)) for summary in summaries.values())] for key in keys]
    return Section("What was compared", head=["", *summaries], table=rows)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
