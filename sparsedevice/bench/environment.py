"""What a figure depends on besides the bundle."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sparsedevice.bench.source import source_commit

_CPUS = Path("/sys/devices/system/cpu")
_CPUFREQ = _CPUS / "cpu0/cpufreq"
_THERMAL = Path("/sys/class/thermal")
#: Why a field is null where the platform hides it.
_REASONS = {
    "cpu": "the platform does not name its processor",
    "cores": "the platform does not tell",
    "cores_usable": "this platform has no affinity mask",
    "governor": "no cpufreq in /sys/devices/system/cpu (virtual machines have none)",
    "frequency_khz": "no cpufreq in /sys/devices/system/cpu (virtual machines have none)",
    "max_khz": "no cpufreq in /sys/devices/system/cpu (virtual machines have none)",
    "temperatures": "no thermal zone that can be read in /sys/class/thermal",
    "throttled": "no thermal_throttle in /sys/devices/system/cpu (arm cores and virtual machines have none)",
    "load_average": "the platform does not tell",
    "page_bytes": "the platform does not tell",
    "os": "the platform does not tell",
    "python": "no Python runs there",
}


def read_environment(packages: Sequence[str] = ("numpy",)) -> dict[str, Any]:
    """CPU, cores, governor, thermal state, operating system, Python, package versions and source commit.

    A field that the platform hides is None, and ``missing`` has the reason by the field's name.

    Args:
        packages: distributions whose versions are wanted; one that is not installed is None.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    commit, no_commit = source_commit()
    found = {
        "cpu": _cpu(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": len(affinity(0)) if affinity else None,
        "governor": _read(_CPUFREQ / "scaling_governor"),
        "frequency_khz": _read(_CPUFREQ / "scaling_cur_freq"),
        "max_khz": max_khz() or None,
        "temperatures": _temperatures() or None,
        "throttled": _throttled(),
        "load_average": _load_average(),
        "page_bytes": os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "commit": commit,
    }
    return explain(found, commit=no_commit)


def explain(environment: dict[str, Any], **reasons: str) -> dict[str, Any]:
    """An environment with ``missing``: why each field that is None is None.

    Args:
        environment: the fields; reasons that it has already are kept.
        reasons: by field, instead of the usual ones.
    """
    found = dict(environment)
    known = {**_REASONS, **found.pop("missing", {}), **{k: v for k, v in reasons.items() if v}}
    missing = {
        name: known.get(name, "the platform does not tell") for name, value in found.items() if value is None
    }
    return {**found, "missing": missing}


def max_khz() -> dict[int, int]:
    """Greatest frequency of each core by its number; empty where the platform hides it."""
    found = {}
    for path in _CPUS.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"):
        text = _read(path)
        if text is not None and text.isdigit():
            found[int(path.parts[-3][3:])] = int(text)
    return found


def _temperatures() -> dict[str, float]:
    """Degrees Celsius by the name of the sensor."""
    found = {}
    for zone in sorted(_THERMAL.glob("thermal_zone*")):
        text = _read(zone / "temp")
        if text is not None and text.lstrip("-").isdigit():
            found[_read(zone / "type") or zone.name] = int(text) / 1000
    return found


def _throttled() -> int | None:
    """How often cores were slowed down for their heat since the machine started; x86 alone counts that."""
    counts = [_read(path) for path in _CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    found = [int(text) for text in counts if text is not None and text.isdigit()]
    return sum(found) if found else None


def _cpu() -> str | None:
    text = _read(Path("/proc/cpuinfo"))
    if text is not None:
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Hardware", "Model"):
                return value.strip()
    return platform.processor() or None


def _load_average() -> float | None:
    if sys.platform == "win32":
        return None
    return round(os.getloadavg()[0], 2)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
