"""The HTML report: what it shows, that it needs nothing else, and how a browser draws it."""

from __future__ import annotations

import html.parser
import io
import json
import re
import shutil
import subprocess

import pytest

from sparsedevice.bench import bench
from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, DataError, SparseDeviceError
from sparsedevice.exporters import export
from sparsedevice.files import write_json
from sparsedevice.report import print_report, report
from sparsedevice.report.collect import Point
from sparsedevice.report.sections import frontier_of
from sparsedevice.report.text_charts import bars, sparkline
from tests.exporters.tiny import tiny_run

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A run with a history, a bundle, a file of benchmarks and a sweep."""
    folder = tmp_path_factory.mktemp("sources")
    run = tiny_run()
    run.metrics["history"] = [
        {"epoch": 1, "loss": 2.0, "recall@20": 0.1},
        {"epoch": 2, "loss": 1.0, "recall@20": 0.2},
    ]
    run.save(folder / "run & <b>more")
    export(run, "packed", folder / "bundle", users=True, k=5)
    quick = {"repetitions": 20, "min_seconds": 0.0, "k": 3}
    results = [bench(folder / "bundle", backend=b, samples=b == "core", **quick) for b in ("core", "numpy")]
    (folder / "bench.json").write_text(json.dumps(results))
    cells = [
        {
            "name": f"sparsity {sparsity}",
            "family": "sparse",
            "arms": [{"values": "int8", "item_bytes": size, "accuracy": accuracy}],
            "history": [{"epoch": 1, "recall@20": accuracy}],
        }
        for sparsity, size, accuracy in ((0.8, 2000, 0.3), (0.9, 1000, 0.25), (0.95, 1500, 0.2))
    ]
    (folder / "sweep").mkdir()
    write_json(folder / "sweep" / "sweep.json", {"k": 20, "cells": cells})
    return [folder / name for name in ("run & <b>more", "bundle", "bench.json", "sweep")]


@pytest.fixture(scope="module")
def page(sources, tmp_path_factory):
    return report(sources, tmp_path_factory.mktemp("out") / "report.html", title="Tiny & more")


class Outline(html.parser.HTMLParser):
    """Headings, figures, addresses and whether every element is closed."""

    VOID = ("meta", "use", "br", "path", "circle", "rect", "line")

    def __init__(self):
        super().__init__()
        self.headings, self.addresses, self.figures, self.open, self.problems = [], [], 0, [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.figures += tag == "svg"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                self.addresses.append(value)
            if name.startswith("on"):
                self.problems.append((tag, name))
        if tag in ("script", "link", "iframe", "object"):
            self.problems.append((tag, ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append((tag, "closed elsewhere"))

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_every_section_and_nothing_from_outside(page):
    text = page.read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    assert outline.headings == [
        "What was compared",
        "Size and accuracy",
        "Latency",
        "Memory",
        "Where the bytes go",
        "Where the time goes",
        "Sparsity by popularity",
        "Training",
    ]
    assert outline.figures == 7
    assert outline.problems == []
    assert outline.open == []
    assert all(address.startswith("#") for address in outline.addresses)
    assert "url(http" not in text
    assert "@import" not in text
    assert "Tiny &amp; more" in text
    assert "<b>more" not in text, "names of folders are text"
    assert "run &amp; &lt;b&gt;more" in text


def test_numbers_are_the_sources(page, sources):
    text = page.read_text(encoding="utf-8")
    manifest = json.loads((sources[1] / "manifest.json").read_text())
    assert f"{manifest['accuracy']['shipped']['recall@5']:.4f}" in text
    results = json.loads(sources[2].read_text())
    for result in results:
        assert f"{result['file_bytes']:,}" in text


def test_colours_are_the_page_s_own(page):
    for svg in re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        assert "var(--ink)" in svg
        assert "var(--series-1)" in svg
        assert set(re.findall(r"#[0-9a-fA-F]{6}", svg)) <= {"#ffffff", "#000000"}


def test_the_frontier_is_what_nothing_smaller_beats():

    plane = {"a": (10, 0.1), "b": (20, 0.3), "c": (30, 0.2), "d": (40, 0.4), "e": (10, 0.05), "f": (40, 0.35)}
    points = [Point(name, "g", size, accuracy) for name, (size, accuracy) in plane.items()]
    assert [point.label for point in frontier_of(points)] == ["a", "b", "d"]


def test_refusals(tmp_path, sources, capsys):
    with pytest.raises(ConfigError, match="nothing to report"):
        report([], tmp_path / "r.html")
    with pytest.raises(SparseDeviceError, match="does not exist"):
        report([tmp_path / "none"], tmp_path / "r.html")
    with pytest.raises(ConfigError, match="no run, bundle or sweep"):
        report([tmp_path], tmp_path / "r.html")
    (tmp_path / "odd.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="holds no benchmark"):
        report([tmp_path / "odd.json"], tmp_path / "r.html")
    with pytest.raises(ConfigError, match="is a folder"):
        report(sources, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.json"]
    with pytest.raises(SystemExit) as stop:
        main(["report", str(sources[2]), "--out", str(tmp_path / "page.html")])
    assert stop.value.code == 0
    assert "page.html" in capsys.readouterr().out


def test_printed(sources, capsys):
    """Everything that the page shows, in a file of 120 columns: no colour, no control characters."""
    assert_stopped(["report", *map(str, sources)])
    text = capsys.readouterr().out
    for heading in ("Size and accuracy", "Latency", "Memory", "Where the bytes go", "Training"):
        assert f"\n{heading}\n" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120
    results = json.loads(sources[2].read_text())
    kept = next(result for result in results if "samples_ns" in result)
    after = text[text.index("Latency") :].splitlines()
    shares = [float(line.split()[-1].rstrip("%")) for line in after if " to " in line and "µs" in line]
    assert len(shares) == 12
    assert sum(shares) == pytest.approx(100, abs=1), "a histogram holds every sample"
    assert f"p50 {kept['p50_us']:,.1f}" in text
    assert "▁█  0.1000 to 0.2000" in text, "a curve that rises"
    best = next(line for line in text.splitlines() if line.startswith("Nothing smaller beats:"))
    assert "sparsity 0.95" not in best


def test_printed_where_there_are_only_ascii_characters(sources):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    print_report(sources, file)
    text = raw.getvalue().decode("ascii")
    assert "####" in text
    assert "Sparsity by popularity" in text


def test_printed_in_a_terminal_without_colours_of_its_own(sources):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    print_report(sources, screen)
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", screen.getvalue()))
    assert codes <= {"", "0", "1"}, "bold alone reads on light and on dark"


def test_sparklines_and_bars():
    assert sparkline([0.0, 1.0, 0.5]) == "▁█▅"
    assert len(set(sparkline([3.0, 3.0]))) == 1
    lines = bars({"a": 2.0, "long name": 1.0, "none": 0.0}, str, 80)
    assert [line.count("█") for line in lines] == [40, 20, 0]
    assert len({line.index("2.0") if "2.0" in line else line.index(".") - 1 for line in lines}) == 1


def test_a_comparison_with_peers(tmp_path, capsys):
    arm = {"index_bytes": 10, "anonymous_bytes": None, "overlap": 1.0, "p50_us": 5.0}
    arm["wall_ratio"] = [2.0, 1.0, 3.0]
    arms = [
        {"arm": "core", "cpu_ratio": [1.0, 1.0, 1.0], "median_ratio": [1.0, 1.0, 1.0], **arm},
        {"arm": "dense", "cpu_ratio": [8.5, 8.0, 9.0], "median_ratio": [9.5, 9.0, 9.9], **arm},
    ]
    looks = [{"cpu_seconds": 1.0, "recall": 0.1}, {"cpu_seconds": 3.0, "recall": 0.2}]
    figures = {"epochs": 2, "seconds": 4.0, "cpu_seconds": 3.0, "examples_per_cpu_second": 5e3}
    learner = {"learner": "ours", "looks": looks, "cpu_seconds_to_most": 2.8, "test": 0.15, **figures}
    three = {key: [value, value / 2, value * 2] for key, value in learner.items() if key in figures}
    three |= {
        "cpu_seconds_to_most": [2.8, 2.6, 3.0],
        "validation": [0.2, 0.2, 0.2],
        "test": [0.15, 0.14, 0.16],
    }
    seeds = [{"learner": "ours", "seeds": [0, 1, 2], **three}]
    training = {"data": "log", "k": 20, "threads": 2, "learners": [learner]}
    repeated = {"runs": [{}, {}], "spread": [{"arm": "dense", "ratios": [8.5, 8.6], "spread": 0.0118}]}
    path = tmp_path / "peers.json"
    path.write_text(
        json.dumps(
            {
                "peers": 1,
                "inference": {"k": 20, "arms": arms},
                "training": training,
                "seeds": seeds,
                "environment": {"cpu": "Abacus 1", "cores": 2, "os": "Linux", "load_average": 3.5},
                **repeated,
            }
        )
    )
    page = report([path], tmp_path / "page.html").read_text(encoding="utf-8")
    for text in ("Top-20 beside peers", "8.50 (8.00-9.00)", "Training beside peers: log", "0.1500", "+1.2%"):
        assert text in page
    assert "0.1500 (0.1400-0.1600)" in page
    assert page.count("Measured on: Abacus 1, 2 cores, Linux, load 3.5.") == 2
    assert_stopped(["report", str(path)])
    printed = capsys.readouterr().out
    assert "8.50 (8.00-9.00)" in printed
    assert "Training beside peers: log" in printed


def assert_stopped(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")

    def run(*flags):
        profile = tmp_path_factory.mktemp("profile")
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            *flags,
        ]
        return subprocess.run(command, capture_output=True, timeout=90, check=True)

    try:
        run("--dump-dom", "about:blank")
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"Chromium does not run here: {error}")
    return run


def test_light_and_dark_in_a_browser(page, browser, tmp_path):
    from matplotlib.image import imread

    brightness = {}
    for name, scheme in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{name}.png"
        browser(
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=800,1600",
            f"--screenshot={picture}",
            page.as_uri(),
        )
        pixels = imread(picture)[:, :, :3]
        brightness[name] = pixels[2, 2].mean()
        contrast = abs(pixels.mean(axis=2) - brightness[name])
        assert (contrast > 0.4).mean() > 0.005, "there is text and ink that can be seen"
    assert brightness["light"] > 0.95
    assert brightness["dark"] < 0.2


def test_prints(page, browser, tmp_path):
    paper = tmp_path / "report.pdf"
    browser(f"--print-to-pdf={paper}", page.as_uri())
    data = paper.read_bytes()
    assert data.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 6
