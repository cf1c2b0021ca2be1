"""Products of settings, cores, traces, outputs, baselines: what surrounds a measurement."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from sparsedevice.bench import (
    BenchSettings,
    bench,
    bench_many,
    compare,
    parse_share,
    render,
    settings_product,
)
from sparsedevice.bench.cpus import choose_cpus
from sparsedevice.bench.energy import battery_used_uah, read_energy_uj
from sparsedevice.bench.facts import max_khz, parse_facts
from sparsedevice.bench.machines import open_machine
from sparsedevice.bench.raw import RawLog, collect
from sparsedevice.bench.trace import Queries, Trace, find_queries
from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, DataError, TargetError
from sparsedevice.packing import PackedFile

QUICK = {"repetitions": 5, "min_seconds": 0.0, "warmup": 1}


@pytest.fixture(scope="module")
def results(packed_bundle):
    cells = settings_product(
        {"backend": ["core", "numpy"], "k": [2, 4], **{n: [v] for n, v in QUICK.items()}}
    )
    return bench_many(packed_bundle.path, cells)


def test_product_in_order():
    cells = settings_product({"backend": ["core", "numpy"], "k": [1, 2]})
    assert [(cell.backend, cell.k) for cell in cells] == [
        ("core", 1),
        ("core", 2),
        ("numpy", 1),
        ("numpy", 2),
    ]
    with pytest.raises(ConfigError, match="speed"):
        settings_product({"speed": [1]})
    with pytest.raises(ConfigError, match="backend has no value"):
        settings_product({"backend": []})


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"batch": 0}, {"threads": True}, {"cache": "cold"}, {"harness": "go"}, {"min_seconds": -1}],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        BenchSettings(**wrong)


def test_cells_of_a_product(results, packed_bundle):
    assert [(result["backend"], result["k"]) for result in results] == [
        ("core", 2),
        ("core", 4),
        ("numpy", 2),
        ("numpy", 4),
    ]
    assert len({result["trace"]["sha256"] for result in results}) == 1, "every arm is asked the same"
    for result in results:
        assert set(result["phases"]) >= {"lookup", "shortlist", "top_1", "fold_in", "scan", "choose"}
        assert result["queries_per_second"] > 0
        assert result["batch"]["size"] == 1
        assert result["clock_overhead_ns"] > 0
        assert "verify_ms" in result["excluded"]
        assert result["accuracy"] == packed_bundle.manifest["accuracy"]


def test_a_batch_holds_its_queries_and_threads_share_a_recommender(packed_bundle):
    one = bench(packed_bundle.path, backend="numpy", repetitions=50, min_seconds=0.0)
    many = bench(packed_bundle.path, backend="numpy", repetitions=50, min_seconds=0.0, batch=20, threads=2)
    assert many["batch"]["size"] == 20
    assert many["batch"]["min_us"] > 5 * one["min_us"]
    assert many["threads"] == 2
    assert many["queries_per_second"] > 0


def test_outputs(results):
    assert json.loads(render(results, "json")) == json.loads(json.dumps(results))
    assert json.loads(render(results[:1], "json"))["k"] == 2
    assert [json.loads(line)["k"] for line in render(results, "jsonl").splitlines()] == [2, 4, 2, 4]
    rows = list(csv.DictReader(io.StringIO(render(results, "csv"))))
    assert [row["backend"] for row in rows] == ["core", "core", "numpy", "numpy"]
    assert float(rows[0]["p50_us"]) == results[0]["p50_us"]
    assert float(rows[3]["phases.lookup.p50_us"]) == results[3]["phases"]["lookup"]["p50_us"]
    head = render(results, "md").splitlines()[0]
    assert "k 2" in head
    assert "k 4" in head
    with pytest.raises(ConfigError, match="md, json, jsonl, csv"):
        render(results, "yaml")


def test_baseline(results, tmp_path):
    path = tmp_path / "before.jsonl"
    slower = [{**result, "p50_us": 2 * result["p50_us"]} for result in results]
    path.write_text(render(results, "jsonl"))
    assert [change.ratio for change in compare(results, path)] == [1.0] * 4
    assert not any(change.slower for change in compare(results, path))
    assert all(change.slower for change in compare(slower, path, 0.5))
    assert not any(change.slower for change in compare(slower, path, 1.5))
    assert len(compare(results[:1], path)) == 1
    with pytest.raises(DataError, match="no cell of this benchmark"):
        compare([{**results[0], "k": 17}], path)
    emulated = {**results[0], "target": "qemu-arm64", "p50_us": None, "counts": {"instructions": 110.0}}
    path.write_text(json.dumps({**emulated, "counts": {"instructions": 100.0}}))
    (change,) = compare([emulated], path, 0.05)
    assert (change.before, change.now, change.unit, change.slower) == (100.0, 110.0, "instructions", True)
    path.write_text("{}")
    with pytest.raises(DataError, match="holds no benchmark"):
        compare(results, path)


def test_command_line_fails_when_slower(packed_bundle, tmp_path, capsys):
    command = ["bench", str(packed_bundle.path), "--backend", "core"]
    command += ["--repetitions", "5", "--min-seconds", "0", "--output", "json"]
    raw = tmp_path / "raw.jsonl"
    with pytest.raises(SystemExit) as stop:
        main([*command, "-k", "2,3", "--raw", str(raw)])
    assert stop.value.code == 0
    now = json.loads(capsys.readouterr().out)
    assert [result["k"] for result in now] == [2, 3]
    assert {json.loads(line)["event"] for line in raw.read_text().splitlines()} == {"cell", "samples"}
    baseline = tmp_path / "before.json"
    for factor, code in ((1e-6, 1), (1e6, 0)):
        baseline.write_text(json.dumps([{**result, "p50_us": result["p50_us"] * factor} for result in now]))
        with pytest.raises(SystemExit) as stop:
            main([*command, "-k", "3", "--baseline", str(baseline), "--fail-if-slower", "5%"])
        assert stop.value.code == code
        out, err = capsys.readouterr()
        assert json.loads(out)["k"] == 3
        assert ("SLOWER" in err) == (code == 1)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--fail-if-slower", "5%"])
    assert stop.value.code == 2


def test_shares():
    assert parse_share("5%") == pytest.approx(0.05)
    assert parse_share("0.25") == 0.25
    for wrong in ("", "much", "-1%", "inf"):
        with pytest.raises(ConfigError, match="share"):
            parse_share(wrong)


def test_cores_by_kind_and_by_list():
    khz = {0: 1_800_000, 1: 1_800_000, 2: 2_400_000, 3: 2_900_000}
    assert choose_cpus("little", khz) == [0, 1]
    assert choose_cpus("big", khz) == [3]
    assert choose_cpus("0-2,5", {}) == [0, 1, 2, 5]
    for wrong in ("", "a", "3-1", "1-"):
        with pytest.raises(ConfigError, match="big, little or a list"):
            choose_cpus(wrong, khz)
    with pytest.raises(ConfigError, match="frequencies"):
        choose_cpus("big", {})


def test_facts_are_read():
    facts = parse_facts(
        "machine\taarch64\nmax_khz.0\t1800000\nmax_khz.7\t2900000\ntemperature.cpu\t41000\nnoise"
    )
    assert facts["machine"] == "aarch64"
    assert max_khz(facts) == {0: 1_800_000, 7: 2_900_000}
    assert facts["temperature"] == {"cpu": 41000}
    with open_machine("host") as machine:
        assert machine.facts()["machine"]


def test_what_a_battery_lost():
    phone = {"AC powered": "false", "USB powered": "false", "Charge counter": "3000500"}
    later = {**phone, "Charge counter": "3000100"}
    assert battery_used_uah({"battery": phone}, {"battery": later}) == 400
    assert battery_used_uah({"battery": later}, {"battery": phone}) is None, "it was charged in between"
    charging = {**phone, "USB powered": "true"}
    assert battery_used_uah({"battery": charging}, {"battery": later}) is None
    board = {"battery_charge_uah": {"BAT0": 500}, "battery_status": {"BAT0": "Discharging"}}
    assert battery_used_uah(board, {**board, "battery_charge_uah": {"BAT0": 450}}) == 50
    assert battery_used_uah({"battery": None}, {"battery": None}) is None


def test_energy_of_packages_only(tmp_path):
    assert read_energy_uj(tmp_path) is None
    for name, value in (("intel-rapl:0", 5), ("intel-rapl:1", 7), ("intel-rapl:0:0", 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
    assert read_energy_uj(tmp_path) == 12


def test_traces_by_name(packed_bundle, tmp_path):
    packed = PackedFile.open(packed_bundle.path / "model.sd")
    uniform = find_queries("uniform", packed, 0)
    assert uniform.to_json()["kind"] == "uniform histories"
    assert uniform.to_json()["sha256"] != find_queries("zipf", packed, 0).to_json()["sha256"]
    seen = find_queries("seen", packed, 3)
    lists = {tuple(row) for row in packed.seen.tolil().rows.tolist()}
    assert {tuple(history.tolist()) for history in seen.histories} <= lists
    ids = packed.vocabulary.ids
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps([ids[3], ids[1]]) + "\n" + json.dumps([ids[0]]) + "\n")
    given = find_queries(str(path), packed, 0)
    assert [history.tolist() for history in given.histories] == [[3, 1], [0]]
    given.write(tmp_path / "rows")
    again = Queries.read(tmp_path / "rows", given.about)
    assert again.to_json() == given.to_json()
    for text, match in (
        (json.dumps(["none"]), "log.jsonl:1 has the item 'none'"),
        ("{}", ":1 is not a JSON"),
        ("", "no history"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=match):
            find_queries(str(path), packed, 0)
    with pytest.raises(ConfigError, match="zipf, uniform, seen"):
        find_queries("tomorrow", packed, 0)


def test_uniform_trace_is_flat():
    counts = np.bincount(np.concatenate(Trace(50, 2000, 0, "uniform").histories()), minlength=50)
    assert counts.max() < 1.2 * counts.min()


def test_lost_machines_leave_samples_and_nothing_else(tmp_path):
    lines = ['{"event": "samples", "phase": "end_to_end", "ns": [1, 2, 3]}', "noise"]
    with (
        pytest.raises(TargetError, match=r"board was lost .* 3 raw samples"),
        RawLog(tmp_path / "raw") as log,
    ):
        collect(lines, log, "board")
    assert [path.name for path in tmp_path.iterdir()] == ["raw.part"]
    (tmp_path / "raw.part").unlink()
    with pytest.raises(TargetError, match="no such cpu"), RawLog(tmp_path / "raw") as log:
        collect(['{"event": "error", "message": "no such cpu"}'], log, "board")
    assert list(tmp_path.iterdir()) == []


def test_unknown_machine(packed_bundle):
    with pytest.raises(ConfigError, match="target 'moon' is unknown; use one of host"):
        bench(packed_bundle.path, target="moon")
