"""Which cores to run on: big, little, or a list."""

from __future__ import annotations

from collections.abc import Mapping

from sparsedevice.errors import ConfigError


def choose_cpus(spec: str, max_khz: Mapping[int, int]) -> list[int]:
    """The cores that ``big``, ``little`` or a list such as ``0-3,6`` stands for.

    Args:
        spec: ``big`` are the cores with the highest greatest frequency, ``little`` those with the lowest.
        max_khz: greatest frequency of each core, as the machine tells.

    Raises:
        ConfigError: if the machine does not tell frequencies, or the list is malformed.
    """
    if spec in ("big", "little"):
        if not max_khz:
            raise ConfigError(
                f"this machine does not tell its cores' frequencies; give --cpus as a list, not {spec}"
            )
        wanted = max(max_khz.values()) if spec == "big" else min(max_khz.values())
        return sorted(cpu for cpu, khz in max_khz.items() if khz == wanted)
    cpus: set[int] = set()
    for part in spec.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise ConfigError(f"cpus {spec!r} is not big, little or a list such as 0-3,6")
        cpus.update(range(int(first), int(last if dash else first) + 1))
    return sorted(cpus)
