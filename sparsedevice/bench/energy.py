"""Energy counters of the platform (powercap); most machines let only root read them, phones have none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_POWERCAP = Path("/sys/class/powercap")
#: Why there is no figure.
UNREADABLE = "no counter in /sys/class/powercap that this user may read (most systems let only root)"
NOT_IN_C = "the C tool reads no counters; battery_used_uah is the whole command's, where a battery tells"


def used_uj(before: int | None, after: int | None) -> int | None:
    """The difference; None where one is unknown, or where a counter started again at 0 in between."""
    return after - before if before is not None and after is not None and after >= before else None


def read_energy_uj(root: Path = _POWERCAP) -> int | None:
    """Microjoules that the processor packages have used since some moment; None where nobody tells."""
    total = None
    for counter in sorted(root.glob("*:[0-9]*/energy_uj")):
        if counter.parent.name.count(":") != 1:
            continue  # a part of a package, which the package already counts
        try:
            total = (total or 0) + int(counter.read_text())
        except (OSError, ValueError):
            return None
    return total


def battery_used_uah(before: Mapping[str, Any], after: Mapping[str, Any]) -> int | None:
    """Microampere-hours that the battery lost between two readings of a machine; None where nobody tells.

    From ``dumpsys battery`` on Android, else from ``/sys/class/power_supply``. It covers everything that the
    machine did in between, files put there too, and a battery counts in coarse steps: only long runs say
    anything. A battery that is charged has no figure.

    Args:
        before: of :meth:`Machine.facts`.
        after: the same later.
    """
    charges = [_charge_uah(facts) for facts in (before, after)]
    if charges[0] is None or charges[1] is None or charges[1] > charges[0]:
        return None
    return charges[0] - charges[1]


def _charge_uah(facts: Mapping[str, Any]) -> int | None:
    battery = facts.get("battery") or {}
    if any(str(battery.get(f"{name} powered")).lower() == "true" for name in ("AC", "USB", "Wireless")):
        return None
    counter = str(battery.get("Charge counter", ""))
    if counter.isdigit():
        return int(counter)
    found = [charge for charge in facts.get("battery_charge_uah", {}).values() if isinstance(charge, int)]
    status = facts.get("battery_status", {}).values()
    return sum(found) if found and "Charging" not in status else None
