"""Estimated cycles of executed arm64 code, by llvm-mca.

What is estimated are stretches of the instructions in the order in which they were executed, with all data in
the first cache and every branch foreseen. LLVM has no model of a Cortex-A76 or a Cortex-X3:
``-mcpu=cortex-a76`` is scheduled as a Cortex-A57, ``-mcpu=cortex-x3`` as a Neoverse N2. So the Neoverse
cores that were made from them are asked for: N1 from the A76, V2 from the X3.

LLVM's Cortex-A55 takes one cycle for a look-up in any number of registers. Arm's guide to it gives two where
two registers are looked up in (as cited in slothy-optimizer/slothy, pull request 446, from page 35 of the
guide). The column "A55, look-ups by register" therefore adds a cycle for each register after the first.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from sparsedevice.errors import TargetError

#: Heading and LLVM's name of a model.
CORES = {"A55": "cortex-a55", "A76 (Neoverse N1)": "neoverse-n1", "X3 (Neoverse V2)": "neoverse-v2"}
BY_REGISTER = "A55, look-ups by register"
_STRETCHES, _STRETCH = 4, 8000  # how many are estimated, and instructions of each


def versions() -> str:
    """What estimates, for the head of a table; "" where it is not installed or has no such models."""
    mca = _tool("llvm-mca")
    if mca is None or _tool("llvm-mc") is None:
        return ""
    said = subprocess.run([mca, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"LLVM version (\d+)\S*", said)
    # Neoverse V2 came with 17.
    return found[0] if found and int(found[1]) >= 17 else ""


def cycles(trace: bytes) -> dict[str, float]:
    """Estimated cycles of one instruction on each core; {} where LLVM is missing or too old.

    Args:
        trace: the code of executed instructions, four bytes each.

    Raises:
        TargetError: if LLVM cannot read the code.
    """
    if not versions() or not trace:
        return {}
    whole = len(trace) // 4
    starts = [i * max(whole - _STRETCH, 0) // (_STRETCHES - 1) for i in range(_STRETCHES)]
    if whole <= _STRETCH:
        starts = [0]
    texts = [_assembly(trace[4 * start : 4 * (start + _STRETCH)]) for start in starts]
    n = sum(min(_STRETCH, whole - start) for start in starts)
    found = {name: sum(_cycles(text, core) for text in texts) / n for name, core in CORES.items()}
    more = sum(_registers_after_first(text) for text in texts) / n
    return {**found, BY_REGISTER: found["A55"] + more}


def _assembly(code: bytes) -> str:
    octets = " ".join(f"0x{byte:02x}" for byte in code)
    flags = ["-disassemble", "-triple=aarch64", "-mattr=+v8.2a,+dotprod,+fullfp16"]
    return _run("llvm-mc", flags, octets)


def _cycles(assembly: str, core: str) -> int:
    report = _run("llvm-mca", ["-mtriple=aarch64", f"-mcpu={core}", "-iterations=1"], assembly)
    found = re.search(r"Total Cycles:\s+(\d+)", report)
    if found is None:
        raise TargetError(f"llvm-mca gave no cycles for {core}")
    return int(found[1])


def _registers_after_first(assembly: str) -> int:
    lists = re.findall(r"\btb[lx]\s[^{]*\{([^}]*)\}", assembly)
    return sum(found.count(",") for found in lists)


def _run(name: str, flags: list[str], text: str) -> str:
    program = _tool(name)
    assert program is not None
    done = subprocess.run([program, *flags], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TargetError(f"{program}: {done.stderr.strip()}")
    return done.stdout


@cache
def _tool(name: str) -> str | None:
    numbered = [f"{name}-{version}" for version in range(30, 16, -1)]
    return next((found for found in map(shutil.which, [*numbered, name]) if found), None)
