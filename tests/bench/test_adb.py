"""A phone over the real ``adb`` client, against a daemon that speaks the real protocol."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from sparsedevice.bench import BenchSettings, bench_many
from sparsedevice.bench.machines.adb import AdbMachine, parse_battery, parse_thermal
from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, TargetError
from tests.bench.adbd import Daemon
from tests.bench.waiting import wait_for

needs_adb = pytest.mark.skipif(shutil.which("adb") is None, reason="adb is not installed")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  level: 81
  temperature: 293
  technology: Li-ion
"""
THERMAL = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=OLD, mStatus=0}
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=1}
\tTemperature{mValue=-3.25, mType=3, mName=skin, mStatus=0}
"""


@pytest.fixture(params=[False, True], ids=["old shell", "shell with exit codes"])
def phone(request, tmp_path, monkeypatch):
    """A daemon that ``adb`` is connected to; its serial number; its folder for files."""
    scripts, folder, home = tmp_path / "bin", tmp_path / "local", tmp_path / "home"
    for made in (scripts, folder, home):
        made.mkdir()
    (scripts / "dumpsys").write_text(
        f"#!/bin/sh\ncase $1 in\nbattery) cat <<'X'\n{BATTERY}X\n;;\n"
        f"thermalservice) cat <<'X'\n{THERMAL}X\n;;\n"
        "*) echo no such service >&2; exit 20;;\nesac\n"
    )
    (scripts / "getprop").write_text('#!/bin/sh\ncase $1 in *model) echo "Paper 3";; *) echo 17;; esac\n')
    for script in scripts.iterdir():
        script.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", cache)  # what was built before stays built
    monkeypatch.setenv("HOME", str(home))
    daemon = Daemon(scripts, exit_codes=request.param)
    serial = f"127.0.0.1:{daemon.port}"
    subprocess.run(["adb", "connect", serial], check=True, capture_output=True, timeout=30)
    try:
        wait_for(
            lambda: subprocess.run(["adb", "-s", serial, "get-state"], capture_output=True).returncode == 0
        )
        yield daemon, f"adb:{serial}", folder
    finally:
        daemon.drop()
        subprocess.run(["adb", "kill-server"], capture_output=True, timeout=30)


@needs_adb
def test_files_commands_and_exit_codes(phone, tmp_path):
    _, spec, folder = phone
    file = tmp_path / "with space.bin"
    file.write_bytes(bytes(range(256)) * 100)
    with AdbMachine(spec, folder=str(folder)) as machine:
        there = machine.place(file, "deep/er/with space.bin")
        assert (
            machine.output(["sha256sum", there]).split()[0]
            == machine.output(["sha256sum", str(file)]).split()[0]
        )
        assert machine.output(["printf", "%s|", "a b", "$HOME", "'"]) == "a b|$HOME|'|"
        assert machine.output(["sh", "-c", "echo out; echo err >&2"]) == "out"
        with pytest.raises(TargetError, match="a command failed: not here"):
            machine.output(["sh", "-c", "echo first; echo not here >&2; exit 3"])
        with pytest.raises(TargetError, match="exit code 7"):
            machine.output(["sh", "-c", "exit 7"])
    assert list(folder.iterdir()) == []


@needs_adb
@needs_cc
def test_measures_with_the_c_tool(phone, packed_bundle):
    _, spec, folder = phone
    (result,) = bench_many(
        packed_bundle.path,
        [BenchSettings(k=3, repetitions=30, min_seconds=0.02)],
        target=spec,
        folder=str(folder),
    )
    assert result["target"] == spec
    assert result["harness"] == "sd-bench"
    assert result["n"] >= 30
    assert 0 < result["min_us"] <= result["p50_us"] <= result["p99_us"]
    assert result["environment"]["cpu"] == "Paper 3"
    assert result["machine"]["before"]["android"] == "17"
    for moment in ("before", "after"):
        facts = result["machine"][moment]
        assert facts["battery"] == {
            "AC powered": "false",
            "USB powered": "true",
            "status": "2",
            "level": "81",
            "temperature": "293",
        }
        assert facts["thermal"] == {"status": 1, "celsius": {"CPU0": 41.5, "skin": -3.25}}
    assert list(folder.iterdir()) == []


@needs_adb
@needs_cc
def test_a_phone_that_is_unplugged(phone, packed_bundle, tmp_path, monkeypatch):
    daemon, spec, folder = phone
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw.jsonl"
    part = tmp_path / "raw.jsonl.part"

    def unplug():
        wait_for(lambda: part.is_file() and '"end_to_end"' in part.read_text())
        daemon.drop()

    thread = threading.Thread(target=unplug)
    thread.start()
    before = set(tmp_path.iterdir())
    with pytest.raises(TargetError, match=r"was lost before .* raw samples so far are in .*raw\.jsonl\.part"):
        bench_many(
            packed_bundle.path, [BenchSettings(min_seconds=60)], target=spec, folder=str(folder), raw=raw
        )
    thread.join()
    assert set(tmp_path.iterdir()) - before == {part}
    events = [json.loads(line) for line in part.read_text().splitlines()]
    assert {event["event"] for event in events} == {"cell", "samples"}
    assert all(ns > 0 for event in events if event["event"] == "samples" for ns in event["ns"])


@needs_adb
@pytest.mark.usefixtures("phone")
def test_no_such_phone(packed_bundle, capsys):
    with pytest.raises(TargetError, match="nowhere"):
        bench_many(packed_bundle.path, [BenchSettings()], target="adb:nowhere")
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(packed_bundle.path), "--target", "adb:nowhere", "--output", "json"])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "nowhere" in err


def test_names_that_are_no_phone():
    for spec in ("adb:", "adbx"):
        with pytest.raises(ConfigError, match="adb:SERIAL"):
            AdbMachine(spec)


def test_dumpsys_is_read():
    assert parse_battery(BATTERY)["level"] == "81"
    assert "technology" not in parse_battery(BATTERY)
    assert parse_thermal(THERMAL) == {"status": 1, "celsius": {"CPU0": 41.5, "skin": -3.25}}
    assert parse_thermal("nothing") == {}
