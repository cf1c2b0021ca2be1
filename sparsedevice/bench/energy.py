"""Energy counters of the platform (powercap); most machines let only root read them, phones have none."""

from __future__ import annotations

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")


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
