"""What a machine says about itself, read by a POSIX shell so that boards and phones can answer too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Prints ``name<TAB>value`` lines. Only what toybox and busybox have is used.
SCRIPT = r"""
p() { [ -r "$2" ] && IFS= read -r v < "$2" && printf '%s\t%s\n' "$1" "$v"; }
printf 'machine\t%s\n' "$(uname -m)"
printf 'os\t%s\n' "$(uname -sr)"
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  n="${c##*/cpu}"
  p "max_khz.$n" "$c/cpufreq/cpuinfo_max_freq"
  p "khz.$n" "$c/cpufreq/scaling_cur_freq"
  p "governor.$n" "$c/cpufreq/scaling_governor"
  printf 'cpu.%s\t1\n' "$n"
done
for z in /sys/class/thermal/thermal_zone*; do
  t="$(cat "$z/type" 2>/dev/null)"
  p "temperature.$t" "$z/temp"
done
for b in /sys/class/power_supply/*; do
  p "battery_status.${b##*/}" "$b/status"
  p "battery_percent.${b##*/}" "$b/capacity"
  p "battery_charge_uah.${b##*/}" "$b/charge_now"
done
p load_average /proc/loadavg
v="$(grep -m1 -E '^(model name|Hardware|Model)' /proc/cpuinfo 2>/dev/null | cut -d: -f2-)"
printf 'cpu_name\t%s\n' "$v"
if command -v getprop >/dev/null 2>&1; then
  printf 'model\t%s\n' "$(getprop ro.product.model)"
  printf 'android\t%s\n' "$(getprop ro.build.version.release)"
fi
"""


def parse_facts(text: str) -> dict[str, Any]:
    """The script's output as JSON-ready values; names with a dot become tables."""
    facts: dict[str, Any] = {}
    for line in text.splitlines():
        name, tab, value = line.partition("\t")
        if not tab:
            continue
        table, dot, key = name.partition(".")
        if dot:
            facts.setdefault(table, {})[key] = _number(value.strip())
        else:
            facts[name] = value.strip()
    return facts


def max_khz(facts: Mapping[str, Any]) -> dict[int, int]:
    """Greatest frequency of each core by its number; empty where the machine does not tell."""
    return {int(cpu): khz for cpu, khz in facts.get("max_khz", {}).items() if isinstance(khz, int)}


def _number(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text
