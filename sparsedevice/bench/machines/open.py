"""From a name on the command line to a machine."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.bench.machines.adb import AdbMachine
from sparsedevice.bench.machines.base import Machine
from sparsedevice.bench.machines.local import LocalMachine
from sparsedevice.bench.machines.ssh import SshMachine
from sparsedevice.errors import ConfigError

#: How a machine is named, and what it is.
MACHINES = {
    "host": "this machine",
    "ssh://[user@]host[:port]": "a Linux machine, over ssh",
    "adb[:serial]": "a phone, over the Android debug bridge",
    "qemu-arm64": "emulated arm64: answers and executed instructions, never times",
    "browser": "Chromium or Chrome here, without a window; web bundles",
    "node": "Node here; web bundles",
}


def open_machine(
    spec: str, *, python: str = "python3", ssh_config: Path | None = None, folder: str | None = None
) -> Machine:
    """The machine of this name.

    Args:
        spec: one of :data:`MACHINES`; emulated ones, browser and Node are no machines.
        python: the Python on another machine that has this package.
        ssh_config: configuration file for ssh.
        folder: an existing folder on another machine to work below.

    Raises:
        ConfigError: if the name is unknown.
    """
    if spec == "host":
        return LocalMachine()
    if spec.startswith("ssh:"):
        return SshMachine(spec, python=python, config=ssh_config, folder=folder)
    if spec == "adb" or spec.startswith("adb:"):
        return AdbMachine(spec, python=python, folder=folder)
    raise ConfigError(f"target {spec!r} is unknown; use one of {', '.join(MACHINES)}")
