"""A benchmark's result as Markdown, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_PHASES = (
    ("load", "load_ms", "ms"),
    ("first query", "first_query_us", "µs"),
    ("p50", "p50_us", "µs"),
    ("p90", "p90_us", "µs"),
    ("p99", "p99_us", "µs"),
    ("mean", "mean_us", "µs"),
    ("least", "min_us", "µs"),
    ("most", "max_us", "µs"),
)
_BYTES = (
    ("files", "file_bytes"),
    ("anonymous memory", "anonymous_bytes"),
    ("resident part of the files", "resident_file_bytes"),
)


def render_markdown(results: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """One result, or several side by side, as a table, with what they depend on below.

    Args:
        results: what :func:`sparsedevice.bench.bench` returned.
    """
    columns = [results] if isinstance(results, Mapping) else list(results)
    names = [_name(result) for result in columns]
    lines = [_row("", names), _row("---", ["---:"] * len(columns))]
    for label, key, unit in _PHASES:
        lines.append(_row(label, [f"{result[key]:,.1f} {unit}" for result in columns]))
    lines.append(_row("samples", [f"{result['n']:,}" for result in columns]))
    for label, key in _BYTES:
        lines.append(_row(label, [_bytes(result[key]) for result in columns]))
    return "\n".join([*lines, "", *dict.fromkeys(_conditions(result) for result in columns)]) + "\n"


def _name(result: Mapping[str, Any]) -> str:
    kernel = f" ({result['kernel']})" if "kernel" in result else ""
    return f"{result['backend']}{kernel}"


def _row(label: str, cells: Sequence[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,} B"


def _conditions(result: Mapping[str, Any]) -> str:
    environment, trace = result["environment"], result["trace"]
    governor = environment["governor"] or "unknown governor"
    cores = environment["cores_usable"] or environment["cores"]
    return (
        f"Top {result['k']} of {trace['n_items']:,} items, one query at a time, {result['threads']} thread;"
        f" {trace['kind']}, seed {trace['seed']}; page cache {result['page_cache']}."
        f" {environment['cpu'] or environment['machine']}, {cores} cores, {governor},"
        f" {environment['os']}, Python {environment['python']}."
    )
