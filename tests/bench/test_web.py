"""A web bundle measured in Chromium and in Node; what is refused; a browser that goes away."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from sparsedevice.bench import BenchSettings, bench, bench_many, render_markdown
from sparsedevice.bench.web.page import find_browser
from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, MissingExtraError, TargetError
from sparsedevice.exporters import export
from sparsedevice.exporters.web.compile import find_tools
from tests.exporters.tiny import tiny_run

QUICK = {"k": 3, "repetitions": 20, "min_seconds": 0.0, "warmup": 2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    try:
        find_tools()
    except MissingExtraError as error:
        pytest.skip(str(error))
    return export(tiny_run(), "web", tmp_path_factory.mktemp("web") / "bundle", k=5)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def need(target):
    if target == "node" and shutil.which("node") is None:
        pytest.skip("needs Node 18 or newer")
    if target == "browser":
        try:
            find_browser()
        except TargetError as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("target", ["node", "browser"])
def test_both_kernels_with_the_fields_of_every_target(bundle, target, here):
    need(target)
    cells = [BenchSettings(kernel=kernel, samples=True, **QUICK) for kernel in ("wasm-simd", "scalar")]
    results = bench_many(bundle.path, cells, target=target, raw=here / "raw.jsonl")
    host = bench(bundle.path, backend="core", **QUICK)
    for result, kernel in zip(results, ("wasm-simd", "scalar"), strict=True):
        unknown = {"peak_resident_bytes", "pss_bytes", "resident_bytes"}
        assert set(result) >= set(host) - unknown
        assert (result["target"], result["kernel"], result["k"]) == (target, kernel, 3)
        assert result["trace"] == host["trace"], "the same queries as anywhere"
        assert 0 < result["clock_resolution_us"] <= 100
        # What a clock of this step could not tell apart is asked more than once in a sample.
        enough = result["queries_a_sample"] == 1 or result["p50_us"] * result["queries_a_sample"] > (
            5 * result["clock_resolution_us"]
        )
        assert enough
        assert result["n"] * result["queries_a_sample"] >= 20
        assert result["min_us"] <= result["p50_us"] <= result["p90_us"] <= result["max_us"]
        assert len(result["samples_ns"]) == result["n"]
        assert set(result["phases"]) == {"lookup", "shortlist", "top_1"}
        known = result["anonymous_bytes"] is not None
        assert known or "memory_note" in result
        json.dumps(result)
    lines = [json.loads(line) for line in (here / "raw.jsonl").read_text().splitlines()]
    assert [line["kernel"] for line in lines if line["event"] == "cell"] == ["wasm-simd", "scalar"]
    assert {line["phase"] for line in lines if line["event"] == "samples"} >= {"first_query", "end_to_end"}
    assert "the clock ticks every" in render_markdown(results)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kernel": "avx2"}, "no kernel 'avx2'"),
        ({"backend": "numpy"}, "leave out --backend"),
        ({"threads": 2}, "--threads 2"),
        ({"cache": "dropped"}, "--cache dropped"),
        ({"cpus": "big"}, "--cpus big"),
        ({"harness": "native"}, "leave out --harness"),
    ],
)
def test_refusals(bundle, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        bench(bundle.path, target="node", **settings)


def test_other_bundles_and_missing_programs_are_refused(bundle, tmp_path, monkeypatch, capsys):
    packed = export(tiny_run(), "packed", tmp_path / "packed", k=5)
    with pytest.raises(ConfigError, match="--target web"):
        bench(packed.path, target="browser")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SPARSEDEVICE_BROWSER", raising=False)
    with pytest.raises(TargetError, match="target node needs Node 18"):
        bench(bundle.path, target="node")
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(bundle.path), "--target", "browser"])
    assert stop.value.code == 2
    assert "apt install chromium" in capsys.readouterr().err


FLEETING = """#!{python}
import sys, urllib.request
if "--version" in sys.argv:
    print("Fleeting 1.0")
    sys.exit()
page = urllib.request.urlopen(sys.argv[-1]).read()
assert b"runInPage" in page
for body in {bodies!r}:
    urllib.request.urlopen(sys.argv[-1] + "events", data=body)
sys.exit({code})
"""


@pytest.fixture
def fleeting(tmp_path, monkeypatch):
    """A browser that sends some events and ends."""

    def make(*bodies, code=1):
        program = tmp_path / "fleeting"
        program.write_text(FLEETING.format(python=sys.executable, bodies=list(bodies), code=code))
        program.chmod(0o755)
        monkeypatch.setenv("SPARSEDEVICE_BROWSER", str(program))

    return make


def test_a_browser_that_goes_away_leaves_the_samples_so_far(bundle, here, fleeting):
    fleeting(b'{"event": "samples", "phase": "end_to_end", "ns": [5, 6, 7]}')
    with pytest.raises(TargetError, match=r"browser was lost.*exit code 1.*3 raw samples so far are in"):
        bench_many(bundle.path, [BenchSettings(**QUICK)], target="browser", raw=here / "raw.jsonl")
    assert not (here / "raw.jsonl").exists()
    kept = (here / "raw.jsonl.part").read_text().splitlines()
    assert json.loads(kept[-1])["ns"] == [5, 6, 7]


def test_what_a_page_complains_of_is_the_error(bundle, here, fleeting):
    fleeting(b'{"event": "error", "message": "the page failed: out of memory"}')
    with pytest.raises(TargetError, match=r"^the page failed: out of memory$"):
        bench_many(bundle.path, [BenchSettings(**QUICK)], target="browser")
    assert [path.name for path in here.iterdir()] == ["fleeting"]
