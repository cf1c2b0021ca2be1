"""Executed arm64 instructions of XNNPACK for each scored row, through ExecuTorch, under emulation.

    python -m benchmarks.arm64.xnnpack [--rows 20480] [--dim 64]

A dense linear layer, float32 and int8 (weights by row, the query at run time), exported here and run by the
libraries of ExecuTorch's arm64 wheel, which are fetched into the user's cache folder. Counted is everything
that an execution does, the runtime's own few thousand instructions too: five executions less one, on one
thread, twice over. Emulated are a processor with dot products (cortex-a76) and one with all that the
emulator knows, for which XNNPACK may choose other kernels. Needs qemu-user, g++-aarch64-linux-gnu and the
extra executorch.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

from benchmarks.peers.inference import ARMS
from benchmarks.peers.process import read_script
from sparsedevice.bench.emulated.userland import packages_of, userland
from sparsedevice.bench.machines.qemu import count_program, emulate
from sparsedevice.bench.native import compile_once

SOURCE = Path(__file__).parent / "xnnpack.cpp"
COMPILER = "aarch64-linux-gnu-g++"
SYSROOT = "/usr/aarch64-linux-gnu"
CPUS = ("cortex-a76", "max")
LIBRARIES = ("executorch_backend_xnnpack", "executorch_threadpool", "executorch")
REPETITIONS = 4
#: Two counts may differ by this much a row: the runtime around the kernel asks for memory as it comes.
SAME = 0.01
_NO_RANDOM_ADDRESSES = 0x0040000  # personality(2); programs that this one starts inherit it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20480)
    parser.add_argument("--dim", type=int, default=64)
    asked = parser.parse_args()
    ctypes.CDLL(None).personality(_NO_RANDOM_ADDRESSES)
    wheel = packages_of(userland()) / "executorch"
    program = build(wheel)
    rng = np.random.default_rng(0)
    items = rng.standard_normal((asked.rows, asked.dim)).astype(np.float32)
    arm = read_script(ARMS / "executorch_dense.py")
    print(f"ExecuTorch {metadata.version('executorch')}, {asked.rows:,} rows of {asked.dim}\n")
    print("| processor | dense | instructions a row | loads a row | bytes loaded a row |")
    print("|---|---|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for variant in ("xnnpack-fp32", "xnnpack-int8"):
            file = Path(scratch) / f"{variant}.pte"
            file.write_bytes(arm.program(variant, items, items[0], None))
            for cpu in CPUS:
                found = per_row([str(program), str(file), str(asked.dim)], wheel, cpu, asked.rows)
                cells = (f"{found[key]:.2f}" for key in ("instructions", "loads", "load_bytes"))
                print(f"| {cpu} | {variant} | " + " | ".join(cells) + " |", flush=True)


def build(wheel: Path) -> Path:
    """The runner, against the wheel's headers and libraries."""
    include = wheel / "include"
    c10 = include / "executorch" / "runtime" / "core" / "portable_type" / "c10"
    flags = ["-std=c++17", "-O2", "-w", "-DC10_USING_CUSTOM_GENERATED_MACROS", f"-I{include}", f"-I{c10}"]
    flags += [str(SOURCE), f"-L{wheel / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in LIBRARIES)]
    return compile_once("xnnpack-aarch64", COMPILER, flags, [SOURCE])


def per_row(command: list[str], wheel: Path, cpu: str, rows: int) -> dict[str, float]:
    """Counts of one execution, by row.

    Raises:
        SystemExit: if two runs count differently.
    """
    emulated = ["-cpu", cpu, "-seed", "1", "-L", SYSROOT, "-E", f"LD_LIBRARY_PATH={wheel / 'lib'}", *command]
    if emulate([*emulated, "1"]) == emulate([*emulated, "2"]):
        raise SystemExit(f"{command[1]}: two executions add up to the same as one")
    runs = [[totals([*emulated, str(n)]) for n in (1, 1 + REPETITIONS)] for _ in range(2)]
    differences = [{key: more[key] - once[key] for key in more} for once, more in runs]
    found, again = ({key: value / (REPETITIONS * rows) for key, value in d.items()} for d in differences)
    if abs(found["instructions"] - again["instructions"]) > SAME:
        raise SystemExit(f"counts of two runs differ: {found} and {again}")
    return found


def totals(command: list[str]) -> dict[str, int]:
    """What a whole program executes."""
    functions, _ = count_program(command)
    keys = ("instructions", "loads", "load_bytes")
    return {key: sum(getattr(counts, key) for counts in functions.values()) for key in keys}


if __name__ == "__main__":
    main()
