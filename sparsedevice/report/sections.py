"""What a report says, whether as a page or in a terminal: headings, charts and their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sparsedevice.report.collect import Material, Point

ChartKind = Literal[
    "frontier", "latencies", "memory", "sections", "popularity", "curves", "ratios", "learning"
]


@dataclass(frozen=True)
class Chart:
    """A picture to draw.

    Attributes:
        kind: which function draws it, by its name in ``figures`` and in ``text_charts``.
        data: its first argument.
        label: the name of what is measured, where ``data`` does not say it.
    """

    kind: ChartKind
    data: Any
    label: str = ""


@dataclass
class Section:
    """A heading, a chart, and its numbers."""

    title: str
    text: str = ""
    chart: Chart | None = None
    head: Sequence[str] = ()
    table: list[list[str]] = field(default_factory=list)


def build_sections(material: Material) -> list[Section]:
    """The sections that there is something to show in."""
    sections = []
    if material.summaries:
        sections.append(_summary(material.summaries))
    if material.points:
        sections.append(_frontier(material.points, material.metric))
    sections += _of_benches(material.benches)
    for found in material.peers:
        sections += _of_peers(found)
    if material.profiles:
        sections.append(_bytes(material.profiles))
    times = _times(material)
    if times:
        sections.append(_parts(times))
    if material.popularity:
        tenths = max(len(means) for means in material.popularity.values())
        sections.append(
            Section(
                "Sparsity by popularity",
                "Active entries of an item, from the most used tenth of the items to the least used.",
                Chart("popularity", material.popularity),
                ["run", *(str(i + 1) for i in range(tenths))],
                [[name, *(f"{mean:.2f}" for mean in means)] for name, means in material.popularity.items()],
            )
        )
    if material.curves:
        sections.append(
            Section(
                "Training",
                "On the validation part, which nothing was trained on.",
                Chart("curves", material.curves),
                ["run", "looks at validation", "last"],
                [
                    [name, f"{len(history)}", ", ".join(f"{k} {v:.4f}" for k, v in history[-1].items())]
                    for name, history in material.curves.items()
                ],
            )
        )
    return sections


def frontier_of(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats with as few bytes, by bytes."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.item_bytes, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def _frontier(points: Sequence[Point], metric: str) -> Section:
    best = set(frontier_of(points))
    rows = [
        [p.label, p.group, f"{p.item_bytes:,}", f"{p.accuracy:.4f}", "yes" if p in best else ""]
        for p in sorted(points, key=lambda p: p.item_bytes)
    ]
    return Section(
        "Size and accuracy",
        "Each mark is a model on the test part; the steps join those that nothing smaller beats.",
        Chart("frontier", points, metric),
        ["model", "kind", "bytes of the item table", metric, "on the frontier"],
        rows,
    )


def _bytes(profiles: Mapping[str, Mapping[str, Any]]) -> Section:
    groups = {
        name: {g: sum(sizes.values()) for g, sizes in found["bytes"]["groups"].items()}
        for name, found in profiles.items()
    }
    names = list(dict.fromkeys(group for found in groups.values() for group in found))
    return Section(
        "Where the bytes go",
        "The packed file by what its sections are for.",
        Chart("sections", {name: _scaled(found, 1 / 1024) for name, found in groups.items()}, "KiB"),
        ["part", *groups],
        [[name, *(f"{found.get(name, 0):,}" for found in groups.values())] for name in names],
    )


#: Parts of a query as the C harness names them, in their order.
_PARTS = ("find", "fold_in", "scan", "scan_and_choose", "choose")


def _times(material: Material) -> dict[str, dict[str, float]]:
    """Microseconds of the parts of a query, by bundle or benchmark; those that could be told apart."""
    from sparsedevice.bench.render import column_names

    found = {
        name: dict(profile["time"]["parts"]) for name, profile in material.profiles.items() if profile["time"]
    }
    timed = [result for result in material.benches if result.get("p50_us") is not None]
    for name, result in zip(column_names(timed), timed, strict=True) if timed else ():
        phases = result.get("phases", {})
        parts = {
            part.replace("_", " "): phases[part]["p50_us"]
            for part in _PARTS
            if phases.get(part, {}).get("p50_us") is not None
        }
        if len(parts) > 2:
            found[name] = parts
    return found


def _parts(times: Mapping[str, Mapping[str, float]]) -> Section:
    names = list(dict.fromkeys(part for found in times.values() for part in found))
    return Section(
        "Where the time goes",
        "Parts of a query, medians, each timed by itself or as the difference of two; what an interface"
        " adds between them is in the end-to-end time only.",
        Chart("sections", times, "µs"),
        ["part", *times],
        [[part, *(f"{f[part]:,.2f} µs" if part in f else "" for f in times.values())] for part in names],
    )


def _scaled(values: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: value * factor for name, value in values.items()}


def _of_benches(results: Sequence[Mapping[str, Any]]) -> list[Section]:
    from sparsedevice.bench.render import column_names

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
                Chart("latencies", named),
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
                    Chart("memory", known),
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


def _of_peers(found: Mapping[str, Any]) -> list[Section]:
    """What ``python -m benchmarks.peers --json`` wrote."""
    sections = []
    place = found.get("environment")
    where = (
        f" Measured on: {place['cpu'] or place['machine']}, {place['cores']} cores, {place['os']}, load"
        f" {place['load_average']}."
        if place
        else ""
    )
    if "inference" in found:
        arms = sorted(found["inference"]["arms"], key=lambda arm: arm["cpu_ratio"][0])
        rows = [
            [
                arm["arm"],
                f"{arm['p50_us']:,.1f}",
                *(
                    "{:.2f} ({:.2f}-{:.2f})".format(*arm[key])
                    for key in ("cpu_ratio", "median_ratio", "wall_ratio")
                ),
                f"{arm['index_bytes']:,}",
                _number(arm["anonymous_bytes"]),
                f"{arm['overlap']:.3f}",
            ]
            for arm in arms
        ]
        k = found["inference"]["k"]
        sections.append(
            Section(
                f"Top-{k} beside peers",
                "The same queries, one thread, in turns; medians over rounds of paired ratios with their 95 %"
                " interval: a peer's fastest tenth of a block over the core's median." + where,
                Chart("ratios", {arm["arm"]: arm["cpu_ratio"] for arm in arms}, "times the core's"),
                [
                    "",
                    "p50 µs",
                    "times the core's, CPU",
                    "of medians",
                    "wall",
                    "bytes",
                    "anonymous",
                    "overlap",
                ],
                rows,
            )
        )
    if "spread" in found:
        sections.append(
            Section(
                "How the ratios repeat",
                "The ratio of processor times in runs with processes of their own, whose rounds took turns.",
                head=["", *(f"run {i + 1}" for i in range(len(found["runs"]))), "greatest over least"],
                table=[
                    [row["arm"], *(f"{ratio:.2f}" for ratio in row["ratios"]), f"+{row['spread']:.1%}"]
                    for row in sorted(found["spread"], key=lambda row: row["ratios"][0])
                ],
            )
        )
    if "training" in found:
        training = found["training"]
        learners = sorted(training["learners"], key=lambda learner: -learner["test"])
        keys = ("epochs", "seconds", "cpu_seconds", "examples_per_cpu_second", "cpu_seconds_to_most", "test")
        sections.append(
            Section(
                f"Training beside peers: {training['data']}",
                f"{training['threads']} threads, looks not counted; recall@{training['k']} on validation."
                + where,
                Chart("learning", {learner["learner"]: learner["looks"] for learner in learners}),
                ["", *keys],
                [[learner["learner"], *(_number(learner[key]) for key in keys)] for learner in learners],
            )
        )
    if "seeds" in found:
        spread = ("cpu_seconds", "examples_per_cpu_second", "cpu_seconds_to_most", "validation", "test")
        sections.append(
            Section(
                "Training over seeds",
                "Mean, and in brackets least and greatest.",
                head=["", "seeds", *spread],
                table=[
                    [row["learner"], ", ".join(map(str, row["seeds"]))]
                    + ["{} ({}-{})".format(*map(_number, row[key])) for key in spread]
                    for row in found["seeds"]
                ],
            )
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
