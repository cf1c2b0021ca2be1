"""Charts as lines of text: what the page draws, for a terminal or a log file.

Marks and bars tell series apart, never colour alone, and no background is set: it reads the same on light, on
dark, and in a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sparsedevice.report.collect import Point
from sparsedevice.report.sections import Chart, frontier_of

MARKS = "ox+*#%@&"
_SPARK = "▁▂▃▄▅▆▇█"
_ROWS, _BINS, _BAR = 14, 12, 40


def draw_text(chart: Chart, width: int) -> list[str]:
    """The chart as lines of at most ``width`` characters; labels may be cut."""
    functions: dict[str, Callable[..., list[str]]] = {
        "frontier": _frontier,
        "latencies": _latencies,
        "memory": _memory,
        "sections": _sections,
        "popularity": _popularity,
        "curves": _curves,
        "ratios": _ratios,
        "learning": _learning,
    }
    return [line[:width] for line in functions[chart.kind](chart.data, chart.label, width)]


def sparkline(values: Sequence[float]) -> str:
    """One character a value, from the least to the greatest.

    >>> sparkline([0, 1, 2])
    '▁▅█'
    """
    low, high = min(values), max(values)
    span = high - low
    steps = len(_SPARK) - 1
    return "".join(
        _SPARK[math.floor((v - low) / span * steps + 0.5)] if span else _SPARK[steps // 2] for v in values
    )


def bars(values: Mapping[str, float], text: Callable[[float], str], width: int) -> list[str]:
    """A bar for each value, as long as its share of the greatest."""
    most = max(values.values(), default=0) or 1.0
    names = _names(values, width)
    room = max(8, min(_BAR, width - len(names[0]) - 18)) if names else 8
    return [
        f"{name}  {'█' * round(room * max(value, 0) / most):{room}}  {text(value)}"
        for name, value in zip(names, values.values(), strict=True)
    ]


def _frontier(points: Sequence[Point], metric: str, width: int) -> list[str]:
    columns = max(20, min(72, width - 12))
    groups = list(dict.fromkeys(point.group for point in points))
    x = np.log10([max(point.item_bytes, 1) for point in points])
    y = np.array([point.accuracy for point in points])
    at_x, at_y = _places(x, columns), _places(y, _ROWS)
    canvas = [[" "] * columns for _ in range(_ROWS)]
    for i, point in enumerate(points):
        canvas[_ROWS - 1 - at_y[i]][at_x[i]] = MARKS[groups.index(point.group) % len(MARKS)]
    lines = [f"{y.max() if row == 0 else y.min():8.4f} ┤" if row in (0, _ROWS - 1) else f"{'':8} │"
             for row in range(_ROWS)]  # fmt: skip
    lines = [head + "".join(cells).rstrip() for head, cells in zip(lines, canvas, strict=True)]
    kib = [10**edge / 1024 for edge in (x.min(), x.max())]
    left, right = f"{kib[0]:,.1f}", f"{kib[1]:,.1f} KiB, logarithmic"
    lines += [f"{'':8} └{'─' * columns}", f"{'':10}{left}{right:>{max(1, columns - len(left))}}"]
    marks = (f"{MARKS[i % len(MARKS)]} {group}" for i, group in enumerate(groups))
    best = ", ".join(point.label for point in frontier_of(points))
    return [metric, *lines, "", "   ".join(marks), f"Nothing smaller beats: {best}"]


def _latencies(benches: Mapping[str, Mapping[str, Any]], _label: str, width: int) -> list[str]:
    """A histogram over logarithmic bins where samples were kept, else three percentiles."""
    lines = []
    for name, result in benches.items():
        lines.append(f"{name}: p50 {result['p50_us']:,.1f}, p99 {result['p99_us']:,.1f} µs")
        samples = np.asarray(result.get("samples_ns") or [], np.float64) / 1000
        if len(samples) and samples.min() > 0:
            # The slowest thousandth would leave the rest one bin; it is counted with the last.
            low, high = samples.min(), max(np.percentile(samples, 99.9), samples.min() * 1.01)
            edges = np.geomspace(low, high, _BINS + 1)
            counts = np.histogram(np.minimum(samples, high), edges)[0]
            named = {
                f"{a:9,.1f} to {b:9,.1f} µs": n / len(samples)
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            }
            lines += bars(named, lambda share: f"{share:6.1%}", width)
        else:
            named = {key: result[f"{key}_us"] for key in ("p50", "p90", "p99")}
            lines += bars(named, lambda us: f"{us:,.1f} µs", width)
        lines.append("")
    return lines[:-1]


def _memory(benches: Mapping[str, Mapping[str, Any]], _label: str, width: int) -> list[str]:
    named = {}
    for name, result in benches.items():
        named[f"{name}, anonymous"] = max(result.get("anonymous_bytes") or 0, 0) / 2**20
        named[f"{name}, of mapped files"] = max(result.get("resident_file_bytes") or 0, 0) / 2**20
    return bars(named, lambda mib: f"{mib:,.2f} MiB", width)


def _sections(bundles: Mapping[str, Mapping[str, float]], unit: str, width: int) -> list[str]:
    lines = []
    for name, found in bundles.items():
        lines += [f"{name}:", *bars(found, lambda size: f"{size:,.1f} {unit}", width), ""]
    return lines[:-1]


def _popularity(runs: Mapping[str, Sequence[float]], _label: str, width: int) -> list[str]:
    return _sparklines(runs, ".2f", width)


def _curves(histories: Mapping[str, Sequence[Mapping[str, float]]], _label: str, width: int) -> list[str]:
    keys = [key for rows in histories.values() for row in rows for key in row if key.startswith("recall@")]
    metric = keys[0] if keys else "loss"
    series = {name: [row[metric] for row in rows if metric in row] for name, rows in histories.items()}
    return [metric, *_sparklines(series, ".4f", width)]


def _learning(learners: Mapping[str, Sequence[Mapping[str, float]]], _label: str, width: int) -> list[str]:
    """Recall at equal steps of each learner's own processor time."""
    series = {}
    for name, looks in learners.items():
        seconds = [0.0, *(look["cpu_seconds"] for look in looks)]
        recalls = [0.0, *(look["recall"] for look in looks)]
        label = f"{name}, {seconds[-1]:.0f} CPU s"
        series[label] = np.interp(np.linspace(0, seconds[-1], 30), seconds, recalls).tolist()
    return ["recall on validation, each over its own processor time", *_sparklines(series, ".4f", width)]


def _ratios(arms: Mapping[str, Sequence[float]], label: str, width: int) -> list[str]:
    """Bars of the logarithm: a bar twice as long is the square."""
    most = max((ratio[0] for ratio in arms.values()), default=1.0)
    names = _names(arms, width)
    room = max(8, min(_BAR, width - (len(names[0]) if names else 0) - 34))
    scale = room / math.log(max(most, 1.01))
    lines = [f"{label}, logarithmic"]
    for name, (ratio, low, high) in zip(names, arms.values(), strict=True):
        bar = "█" * max(0, round(scale * math.log(ratio)))
        lines.append(f"{name}  {bar:{room}}  {ratio:,.2f} ({low:,.2f}-{high:,.2f})")
    return lines


def _sparklines(series: Mapping[str, Sequence[float]], form: str, width: int) -> list[str]:
    lines = []
    for name, values in zip(_names(series, width), series.values(), strict=True):
        if len(values):
            ends = f"{values[0]:{form}} to {values[-1]:{form}}, most {max(values):{form}}"
            lines.append(f"{name}  {sparkline(_thin(values, max(8, width - len(name) - 42)))}  {ends}")
    return lines


def _thin(values: Sequence[float], most: int) -> list[float]:
    """At most so many of the values, the first and the last among them."""
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))
    return [float(values[i]) for i in places]


def _names(named: Mapping[str, Any], width: int) -> list[str]:
    longest = min(max(map(len, named), default=0), max(12, width // 2))
    return [f"{name[:longest]:{longest}}" for name in named]


def _places(values: Any, n: int) -> list[int]:
    """Where values fall on an axis of n places."""
    span = values.max() - values.min()
    shares = (values - values.min()) / span if span else np.full(len(values), 0.5)
    return [int(place) for place in np.rint(shares * (n - 1))]
