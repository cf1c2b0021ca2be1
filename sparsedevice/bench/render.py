"""A benchmark's results for people (Markdown) and for programs (JSON, JSON lines, CSV)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from sparsedevice.errors import ConfigError

Output = Literal["md", "json", "jsonl", "csv"]
OUTPUTS: tuple[Output, ...] = get_args(Output)

_TIMES = (
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
    ("peak resident, file pages too", "peak_resident_bytes"),
)


def render(results: Sequence[Mapping[str, Any]], output: str) -> str:
    """The results in one of :data:`OUTPUTS`; ``json`` is one object for one result, else a list.

    Raises:
        ConfigError: if the output is unknown.
    """
    if output == "md":
        return render_markdown(results)
    if output == "json":
        return json.dumps(results[0] if len(results) == 1 else list(results), indent=2) + "\n"
    if output == "jsonl":
        return "".join(json.dumps(result) + "\n" for result in results)
    check_output(output)
    return _csv(results)


def check_output(output: str) -> None:
    """Refuse an output that does not exist.

    Raises:
        ConfigError: listing those that do.
    """
    if output not in OUTPUTS:
        raise ConfigError(f"output {output!r} is unknown; use one of {', '.join(OUTPUTS)}")


def render_markdown(results: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """One result, or several side by side, as a table, with what they depend on below.

    Args:
        results: what :func:`sparsedevice.bench.bench` returned.
    """
    columns = [results] if isinstance(results, Mapping) else list(results)
    lines = [_row("", column_names(columns)), _row("---", ["---:"] * len(columns))]
    emulated = [result for result in columns if "counts" in result]
    timed = [result for result in columns if "counts" not in result]
    if timed:
        for label, key, unit in _TIMES:
            lines.append(_row(label, [_time(result.get(key), unit) for result in columns]))
        lines.append(_row("samples", [_count(result.get("n")) for result in columns]))
        for phase in dict.fromkeys(name for result in timed for name in result.get("phases", {})):
            cells = [result.get("phases", {}).get(phase, {}).get("p50_us") for result in columns]
            if all(cell is None for cell in cells):
                continue
            lines.append(_row(f"{phase.replace('_', ' ')} p50", [_time(cell, "µs") for cell in cells]))
        if any((result.get("batch") or {}).get("size", 1) > 1 for result in timed):
            cells = [(result.get("batch") or {}).get("p50_us") for result in columns]
            lines.append(_row("a batch p50", [_time(cell, "µs") for cell in cells]))
        lines.append(
            _row("queries a second", [_count(result.get("queries_per_second")) for result in columns])
        )
    if emulated:
        lines += _emulated(columns)
    for label, key in _BYTES:
        lines.append(_row(label, [_bytes(result.get(key)) for result in columns]))
    for label, cells in _accuracy(columns):
        lines.append(_row(label, cells))
    return "\n".join([*lines, "", *dict.fromkeys(_conditions(result) for result in columns)]) + "\n"


def _emulated(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for key in ("instructions", "loads", "load_bytes"):
        cells = [result["counts"][key] if "counts" in result else None for result in columns]
        lines.append(_row(f"{key.replace('_', ' ')} a query", [_count(cell) for cell in cells]))
    for core in dict.fromkeys(core for result in columns for core in result.get("caches", {})):
        for level in ("l1", "l2"):
            cells = [r.get("caches", {}).get(core, {}).get(f"{level}_misses") for r in columns]
            size = next(r["caches"][core][f"{level}_kib"] for r in columns if core in r.get("caches", {}))
            label = f"modelled {level.upper()} misses a query, {core} ({size} KiB)"
            lines.append(_row(label, [_count(cell) for cell in cells]))
    for core in dict.fromkeys(c for result in columns for c in result.get("estimated_cycles") or ()):
        cells = [(r.get("estimated_cycles") or {}).get(core) for r in columns]
        lines.append(_row(f"estimated cycles of the scan, {core}", [_count(cell) for cell in cells]))
    equal = [("yes" if r["answers"]["equal"] else "NO") if "answers" in r else "" for r in columns]
    lines.append(_row("answers equal this machine's", equal))
    return lines


def _accuracy(columns: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    rows: dict[str, list[str]] = {}
    for place, result in enumerate(columns):
        accuracy = result.get("accuracy") or {}
        for users in ("shipped", "folded"):
            for name, value in (accuracy.get(users) or {}).items():
                if name.startswith(("recall@", "ndcg@")):
                    label = f"{name}, users {users}"
                    rows.setdefault(label, [""] * len(columns))[place] = f"{value:.4f}"
    return list(rows.items())


def _csv(results: Sequence[Mapping[str, Any]]) -> str:
    flat = [dict(_flat(result)) for result in results]
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Names with dots for what is nested; lists, which a cell cannot hold, are left out."""
    pairs: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            pairs += _flat(inner, f"{prefix}{name}.")
        elif not isinstance(inner, (list, tuple)):
            pairs.append((f"{prefix}{name}", inner))
    return pairs


def column_names(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each result what runs and what sets it apart from the others; a number where nothing does."""
    settings = [
        {
            "k": result["k"],
            "batch": (result.get("batch") or {}).get("size"),
            "threads": result.get("threads"),
            "cache": result.get("page_cache"),
            "cpus": result.get("cpus"),
            "trace": result["trace"]["kind"],
        }
        for result in columns
    ]
    differ = [name for name in settings[0] if len({str(cell[name]) for cell in settings}) > 1]
    names = [
        ", ".join([_name(result), *(f"{name} {cell[name]}" for name in differ)])
        for result, cell in zip(columns, settings, strict=True)
    ]
    return [name if names.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(names)]


def _name(result: Mapping[str, Any]) -> str:
    name = f"{result['backend']} ({result['kernel']})" if "kernel" in result else str(result["backend"])
    where = result.get("target", "host")
    if result.get("harness") == "sd-bench":
        name += ", C"
    return name if where == "host" else f"{name}, {where}"


def _row(label: str, cells: Sequence[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _time(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:,.1f} {unit}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,} B"


def _clock(result: Mapping[str, Any]) -> str:
    if "clock_resolution_us" in result:
        return (
            f" the clock ticks every {result['clock_resolution_us']:g} µs,"
            f" a sample is {result['queries_a_sample']} queries."
        )
    return f" the clock adds {result['clock_overhead_ns']:.0f} ns a sample."


def _conditions(result: Mapping[str, Any]) -> str:
    environment, trace = result["environment"], result["trace"]
    if "counts" in result:
        return (
            f"Top {result['k']} of {trace['n_items']:,} items, emulated arm64 ({result['emulator']}):"
            " instructions are exact, no time here is a device's."
        )
    governor = environment["governor"] or "unknown governor"
    python = f", Python {environment['python']}" if environment.get("python") else ""
    return (
        f"Top {result['k']} of {trace['n_items']:,} items, one query at a time, {result['threads']} thread;"
        f" {trace['kind']}, seed {trace['seed']}; page cache {result['page_cache']} at loading;"
        f"{_clock(result)}"
        f" {environment['cpu'] or environment['machine']},"
        f" {environment.get('cores_usable') or environment['cores']} cores, {governor},"
        f" {environment['os']}{python}.\n"
        f"Not timed: {result['excluded']}.{_not_split(result)}"
    )


def _not_split(result: Mapping[str, Any]) -> str:
    """The parts that a backend could not be asked for one by one, and why."""
    reasons: dict[str, list[str]] = {}
    for name, summary in result.get("phases", {}).items():
        if "reason" in summary:
            reasons.setdefault(summary["reason"], []).append(name.replace("_", " "))
    return "".join(f"\nNot timed apart: {', '.join(names)}: {reason}." for reason, names in reasons.items())
