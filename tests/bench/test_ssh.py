"""A Linux machine over the real ``ssh`` client and a real ``sshd`` on the loopback interface."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sparsedevice.bench import BenchSettings, bench_many
from sparsedevice.bench.machines.ssh import SshMachine
from sparsedevice.cli import main
from sparsedevice.errors import ConfigError, TargetError
from tests.bench.waiting import wait_for

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of our own: its address, the client's configuration, its process."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("ssh and sshd are not installed (apt install openssh-client openssh-server)")
    folder = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
    )
    (folder / "ssh_config").write_text(
        f"Host *\nIdentityFile {folder}/user\nIdentitiesOnly yes\nUserKnownHostsFile {folder}/known\n"
        "StrictHostKeyChecking accept-new\nLogLevel ERROR\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, as root, locks itself in
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL
    )
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    try:
        command = ["ssh", "-F", str(folder / "ssh_config"), "-o", "BatchMode=yes", url, "true"]
        wait_for(lambda: subprocess.run(command, capture_output=True).returncode == 0, 15)
    except TimeoutError:
        process.kill()
        pytest.skip("sshd does not let this user in")
    yield url, folder / "ssh_config", process
    process.kill()
    process.wait()


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(deeper for child in children for deeper in _descendants(child))]


def test_files_commands_and_exit_codes(server, tmp_path):
    url, config, _ = server
    file = tmp_path / "with space.bin"
    file.write_bytes(bytes(range(256)) * 1000)
    with SshMachine(url, config=config, folder=str(tmp_path)) as machine:
        there = Path(machine.place(file, "deep/er/with space.bin"))
        assert there.read_bytes() == file.read_bytes()
        assert machine.output(["printf", "%s|", "a b", "$HOME", "'"]) == "a b|$HOME|'|"
        with pytest.raises(TargetError, match="a command failed: not here"):
            machine.output(["sh", "-c", "echo not here >&2; exit 3"])
        assert machine.facts()["machine"] == os.uname().machine
    assert list(tmp_path.iterdir()) == [file]


@needs_cc
def test_measures_with_the_c_tool(server, packed_bundle, tmp_path):
    url, config, _ = server
    cells = [BenchSettings(k=k, repetitions=30, min_seconds=0.02, samples=True) for k in (3, 5)]
    raw = tmp_path / "raw.jsonl"
    there = tmp_path / "there"
    there.mkdir()
    results = bench_many(packed_bundle.path, cells, target=url, ssh_config=config, folder=str(there), raw=raw)
    assert [result["k"] for result in results] == [3, 5]
    for result in results:
        assert result["target"] == url
        assert result["harness"] == "sd-bench"
        assert result["n"] == len(result["samples_ns"]) >= 30
        assert result["accuracy"] == packed_bundle.manifest["accuracy"]
    kinds = [json.loads(line)["event"] for line in raw.read_text().splitlines()]
    assert kinds.count("cell") == 2
    assert list(there.iterdir()) == []


def test_measures_with_python_there(server, packed_bundle):
    url, config, _ = server
    (result,) = bench_many(
        packed_bundle.path,
        [BenchSettings(backend="numpy", k=3, repetitions=5, min_seconds=0.0, warmup=1)],
        target=url,
        ssh_config=config,
        python=sys.executable,
    )
    assert result["target"] == url
    assert result["harness"] == "python"
    assert result["backend"] == "numpy"
    assert result["n"] == 5


def test_a_python_that_lacks_the_package(server, packed_bundle, tmp_path):
    url, config, _ = server
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'No module named sparsedevice' >&2\nexit 1\n")
    bare.chmod(0o755)
    with pytest.raises(TargetError, match="No module named sparsedevice"):
        bench_many(
            packed_bundle.path,
            [BenchSettings(backend="numpy")],
            target=url,
            ssh_config=config,
            python=str(bare),
        )


@needs_cc
def test_a_server_that_goes_away(server, packed_bundle, tmp_path, monkeypatch, capsys):
    url, config, process = server
    monkeypatch.chdir(tmp_path)

    def parts() -> list[Path]:
        return list(tmp_path.glob("*.part"))

    def kill():
        wait_for(lambda: any('"end_to_end"' in part.read_text() for part in parts()))
        for pid in _descendants(process.pid):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    where = ["--target", url, "--ssh-config", str(config)]
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(packed_bundle.path), *where, "--min-seconds", "60", "--output", "json"])
    thread.join()
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    (part,) = parts()
    assert "was lost before the measurement was complete" in err
    assert part.name in err
    assert list(tmp_path.iterdir()) == [part]
    events = [json.loads(line) for line in part.read_text().splitlines()]
    assert {event["event"] for event in events} == {"cell", "samples"}


def test_nobody_listens(packed_bundle, tmp_path, monkeypatch):
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TargetError, match="the connection was lost or refused"):
        bench_many(packed_bundle.path, [BenchSettings()], target=f"ssh://127.0.0.1:{port}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["ssh://", "ssh://a:b:c", "ssh://host/path", "ssh://-oProxyCommand=x", "ssh://host:0x1"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match="ssh://user@host"):
        SshMachine(url)
