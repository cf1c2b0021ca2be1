"""``bench``: one bundle, one or many settings, on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsedevice.bench.machines import open_machine
from sparsedevice.bench.measure import measure
from sparsedevice.bench.raw import RawLog
from sparsedevice.bench.settings import BenchSettings


def bench(bundle: str | Path, *, target: str = "host", **settings: Any) -> dict[str, Any]:
    """Measure a bundle: load time, first query, latency percentiles, bytes and memory.

    With the Python harness on this machine it is measured in this process, else as :func:`bench_many` does.

    Args:
        bundle: the bundle's folder.
        target: ``host``, ``ssh://user@host:port``, ``adb`` or ``adb:SERIAL``, ``qemu-arm64``,
            ``browser``, ``node``.
        settings: fields of :class:`BenchSettings`.

    Returns:
        JSON-ready; docs/benchmarking.md explains each field.

    Raises:
        BundleError: if the bundle is damaged.
        ConfigError: if the bundle has nothing for this backend, or a setting is outside its range.
        MissingExtraError: if the backend's package is not installed.
        TargetError: if the machine cannot be reached, lacks something, or is lost.
    """
    cell = BenchSettings(**settings)
    if target == "host" and cell.harness != "native":
        return measure(bundle, cell)
    return bench_many(bundle, [cell], target=target)[0]


def bench_many(
    bundle: str | Path,
    cells: Sequence[BenchSettings],
    *,
    target: str = "host",
    python: str = "python3",
    ssh_config: Path | None = None,
    folder: str | None = None,
    raw: Path | None = None,
) -> list[dict[str, Any]]:
    """Measure cells one after the other, each in a process of its own.

    Args:
        bundle: the bundle's folder.
        cells: what to measure.
        target: as for :func:`bench`.
        python: the Python on another machine that has this package, for the Python harness.
        ssh_config: configuration file for ssh.
        folder: an existing folder on another machine to work below.
        raw: file for all samples, JSON lines; it is there only if everything was measured.

    Raises:
        TargetError: if the machine is lost; the samples so far are then in the file that the error names.
    """
    from sparsedevice.bench.emulated.cell import count_cell
    from sparsedevice.bench.run import run_cell
    from sparsedevice.bench.web import WEB_TARGETS, run_web_cell
    from sparsedevice.exporters import Bundle

    opened = Bundle.load(bundle)
    opened.check_ranks()
    results = []
    if target == "qemu-arm64":
        return [count_cell(opened, cell) for cell in cells]
    if target in WEB_TARGETS:
        with RawLog(raw) as log:
            for cell in cells:
                log.event({"event": "cell", "target": target, **cell.to_json()})
                results.append(run_web_cell(target, opened, cell, log))
        return results
    with (
        open_machine(target, python=python, ssh_config=ssh_config, folder=folder) as machine,
        RawLog(raw) as log,
    ):
        for cell in cells:
            log.event({"event": "cell", "target": target, **cell.to_json()})
            results.append(run_cell(machine, opened, cell, log))
    return results
