"""Figures as inline SVG whose colours are the page's own, so that they follow light and dark.

Every colour is drawn as a marker that no figure would use and then replaced by a CSS variable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsedevice.report.collect import Point
from sparsedevice.report.sections import Chart, frontier_of

SERIES = 6
_INK, _GRID, _SURFACE = "#010201", "#010202", "#010203"
_COLOURS = [f"#0103{i:02x}" for i in range(SERIES)]
_MARKERS = "osD^vP"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "none",
    "legend.frameon": False,
}


def draw(chart: Chart) -> str:
    """The chart as SVG."""
    functions: dict[str, Callable[..., str]] = {
        "frontier": frontier,
        "latencies": latencies,
        "memory": memory,
        "sections": sections,
        "popularity": popularity,
        "curves": curves,
        "ratios": ratios,
        "learning": learning,
    }
    function = functions[chart.kind]
    return function(chart.data, chart.label) if chart.label else function(chart.data)


def frontier(points: Sequence[Point], metric: str) -> str:
    """Accuracy over the bytes of the item table; the steps are what nothing else beats."""

    def draw(axes: Axes) -> None:
        for place, group in enumerate(dict.fromkeys(point.group for point in points)):
            mine = [point for point in points if point.group == group]
            axes.plot(
                [point.item_bytes / 1024 for point in mine],
                [point.accuracy for point in mine],
                _MARKERS[place % len(_MARKERS)],
                color=_COLOURS[place % SERIES],
                label=group,
            )
        best = frontier_of(points)
        axes.step(
            [p.item_bytes / 1024 for p in best],
            [p.accuracy for p in best],
            where="post",
            color=_INK,
            linewidth=0.9,
        )
        axes.set_xscale("log")
        axes.set_xlabel("item table, KiB")
        axes.set_ylabel(metric)
        axes.legend(loc="lower right")

    return _svg(draw, "frontier")


def latencies(benches: Mapping[str, Mapping[str, Any]]) -> str:
    """Share of queries that took at most so long; where samples were not kept, p50, p90 and p99."""

    def draw(axes: Axes) -> None:
        for place, (name, result) in enumerate(benches.items()):
            colour = _COLOURS[place % SERIES]
            if result.get("samples_ns"):
                us = np.sort(np.asarray(result["samples_ns"], np.float64)) / 1000
                step = max(1, len(us) // 400)  # as fine as a page can show
                axes.plot(us[::step], (np.arange(len(us)) + 1)[::step] / len(us), color=colour, label=name)
            else:
                times = [result[key] for key in ("p50_us", "p90_us", "p99_us")]
                axes.plot(times, [0.5, 0.9, 0.99], "o--", color=colour, label=name)
        axes.set_xscale("log")
        axes.set_xlabel("µs a query")
        axes.set_ylabel("share of queries")
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right")

    return _svg(draw, "latencies")


def memory(benches: Mapping[str, Mapping[str, Any]]) -> str:
    """Anonymous memory and the resident part of the mapped files, side by side."""
    keys = (("anonymous_bytes", "anonymous"), ("resident_file_bytes", "of mapped files"))

    def draw(axes: Axes) -> None:
        places = np.arange(len(benches))
        for place, (key, label) in enumerate(keys):
            sizes = [max(result.get(key) or 0, 0) / 2**20 for result in benches.values()]
            bars = axes.barh(places + (place - 0.5) * 0.38, sizes, 0.36, color=_COLOURS[place], label=label)
            axes.bar_label(bars, [f"{size:.2f}" for size in sizes], padding=3)
        axes.set_yticks(places, list(benches))
        axes.invert_yaxis()
        axes.set_xlabel("MiB")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="best")

    return _svg(draw, "memory", height=1.2 + 0.6 * len(benches))


def curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Validation metric by epoch, where a run looked at it, else its loss."""
    metric = next(
        (
            key
            for history in histories.values()
            for row in history
            for key in row
            if key.startswith("recall@")
        ),
        "loss",
    )

    def draw(axes: Axes) -> None:
        for place, (name, history) in enumerate(histories.items()):
            rows = [row for row in history if metric in row]
            axes.plot(
                [row["epoch"] for row in rows],
                [row[metric] for row in rows],
                marker="o",
                markersize=3,
                color=_COLOURS[place % SERIES],
                linestyle=("-", "--", ":")[place // SERIES % 3],
                label=name,
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{metric}, validation" if metric != "loss" else metric)
        axes.legend(loc="best")

    return _svg(draw, "curves")


def popularity(runs: Mapping[str, Sequence[float]]) -> str:
    """Mean active entries of an item, from the most popular tenth of items to the least."""

    def draw(axes: Axes) -> None:
        for place, (name, means) in enumerate(runs.items()):
            tenths = np.arange(1, len(means) + 1)
            axes.plot(tenths, means, "o-", markersize=4, color=_COLOURS[place % SERIES], label=name)
        axes.set_xlabel("tenth of the items, most popular first")
        axes.set_ylabel("active entries an item")
        axes.set_ylim(bottom=0)
        axes.legend(loc="best")

    return _svg(draw, "popularity")


def sections(bundles: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Parts of something, bytes or time, side by side for each bundle."""
    groups = list(dict.fromkeys(group for found in bundles.values() for group in found))

    def draw(axes: Axes) -> None:
        places = np.arange(len(groups))
        width = 0.8 / len(bundles)
        for place, (name, found) in enumerate(bundles.items()):
            sizes = [found.get(group, 0) for group in groups]
            bars = axes.barh(
                places + place * width, sizes, width * 0.9, color=_COLOURS[place % SERIES], label=name
            )
            axes.bar_label(
                bars, [f"{size:,.0f}" if size >= 10 else f"{size:,.1f}" for size in sizes], padding=3
            )
        axes.set_yticks(places + width * (len(bundles) - 1) / 2, groups)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.grid(axis="y", visible=False)
        if len(bundles) > 1:
            axes.legend(loc="best")

    return _svg(draw, "sections", height=1.0 + 0.4 * len(groups) * max(1, len(bundles) / 2))


def ratios(arms: Mapping[str, Sequence[float]], label: str) -> str:
    """Ratio of each arm with its interval, on a logarithmic axis."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(arms))
        middle, low, high = np.array(list(arms.values())).T
        axes.hlines(places, 1, middle, color=_COLOURS[0], linewidth=2)
        axes.errorbar(
            middle, places, xerr=[middle - low, high - middle], fmt="o", color=_COLOURS[0], ecolor=_INK
        )
        for place, value in zip(places, middle, strict=True):
            axes.annotate(
                f"{value:,.2f}", (value, float(place)), (8, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(places, list(arms))
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set_xlabel(label)

    return _svg(draw, "ratios", height=1.0 + 0.32 * len(arms))


def learning(learners: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Recall on validation by the processor's seconds of training."""

    def draw(axes: Axes) -> None:
        for place, (name, looks) in enumerate(learners.items()):
            axes.plot(
                [look["cpu_seconds"] for look in looks],
                [look["recall"] for look in looks],
                marker="o",
                markersize=3,
                color=_COLOURS[place % SERIES],
                linestyle=("-", "--", ":")[place // SERIES % 3],
                label=name,
            )
        axes.set_xscale("log")
        axes.set_xlabel("seconds of processor time")
        axes.set_ylabel("recall, validation")
        axes.legend(loc="lower right")

    return _svg(draw, "learning")


def _svg(draw: Any, name: str, height: float = 3.8) -> str:
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in ((_INK, "--ink"), (_GRID, "--rule"), (_SURFACE, "--surface")):
        svg = svg.replace(colour, f"var({variable})")
    for place, colour in enumerate(_COLOURS):
        svg = svg.replace(colour, f"var(--series-{place + 1})")
    # What is about the file, not the figure; and fixed sizes, which would not shrink on a phone.
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)
