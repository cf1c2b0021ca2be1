"""Executed arm64 instructions for each scored row: the core's kernels beside dense ones.

    python -m benchmarks.arm64.instructions [--rows 20480] [--dim 64] [--active 3,6,13] [--values int8]

Counts come from emulation (qemu-user and the plugin of ``sparsedevice/bench/native``) and are exact:
every count is taken twice and must be equal. Whole queries also write the scores of slices that may hold
one of the best; the inner loop alone computes all sums and compares them with a bound that none reaches,
as the dense kernels compute theirs. "Choosing" is what ``sd_collect_*`` executes to find the best 20.
Cycles are **estimates**; the models are in ``sparsedevice/bench/emulated/cycles.py``.
Built by clang, which is Android's and Apple's compiler, and by gcc, whichever of the two is there. Needs
qemu-user, gcc-aarch64-linux-gnu (for clang: its libraries) and, for cycles, LLVM 17 or later (Debian and
Ubuntu: apt install llvm-19).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsedevice.bench.emulated.cycles import cycles, versions
from sparsedevice.bench.machines.qemu import count_program, emulate
from sparsedevice.bench.native import build_tool, compile_once
from sparsedevice.bench.native.build import find_compiler
from sparsedevice.packing import pack

DENSE_DIM = 64  # as in dense.h
QUERIES = 4
K = 20
HERE = Path(__file__).parent
#: What is counted, and sd-bench's option for it.
WORK = {"queries": "--queries", "inner loop": "--scans"}
DENSE = ("dense_f32", "dense_f32_by_4", "dense_i8", "dense_i8_by_4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20480)
    parser.add_argument("--dim", type=int, default=64, help="dense kernels are run for 64 only")
    parser.add_argument("--active", default="3,6,13", help="entries of a row, separated by commas")
    parser.add_argument("--values", choices=("int8", "int4"), default="int8")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for compiler in compilers():
            print(f"\n{version(compiler)}; cycles: {versions() or 'not estimated'}", flush=True)
            for kernel in DENSE if arguments.dim == DENSE_DIM else ():
                table.append(dense(kernel, arguments.rows, compiler, scratch))
                print(line(table[-1]), flush=True)
            for active in map(int, arguments.active.split(",")):
                for row in packed(active, arguments, compiler, scratch):
                    table.append(row)
                    print(line(row), flush=True)
    print("\n" + markdown(table))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


def compilers() -> list[list[str]]:
    """Each a program and its first arguments."""
    names = [*(f"clang-{number}" for number in range(30, 13, -1)), "clang"]
    clang = next((name for name in names if shutil.which(name)), None)
    found = [] if clang is None else [[clang, "--target=aarch64-linux-gnu"]]
    return [*found, [find_compiler("aarch64")]]


def version(compiler: list[str]) -> str:
    """The first line that a compiler says about itself."""
    said = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def dense(name: str, rows: int, compiler: list[str], scratch: Path) -> dict[str, Any]:
    """One dense kernel over a table of ``rows`` rows."""
    source = HERE / "dense.c"
    flags = [*compiler[1:], "-std=c11", "-O3", "-march=armv8.2-a+dotprod", "-static", str(source)]
    program = compile_once("dense-aarch64", compiler[0], flags, [source, HERE / "dense.h"])
    command = [str(program), name, str(rows)]
    per_row = difference([*command, "1"], [*command, str(1 + QUERIES)], (name,), rows, scratch)
    return {
        "compiler": compiler[0],
        "kernel": name,
        "active": DENSE_DIM,
        "layout": "dense",
        "work": "inner loop",
        **per_row[name],
    }


def packed(
    active: int, arguments: argparse.Namespace, compiler: list[str], scratch: Path
) -> list[dict[str, Any]]:
    """Every kernel of the core over a table with ``active`` entries in each row."""
    found = []
    for layout in ("sliced", "csr"):
        command = [str(build_tool("aarch64", compiler)), *write(active, arguments, layout, scratch)]
        command += ["--k", str(K)]
        said = json.loads(emulate([*command, "--min-seconds", "0", "--repetitions", "1"])[-1])
        # Rows outside slices are scored by the scalar kernel, whatever the processor has.
        for kernel in said["kernels"] if layout == "sliced" else ["scalar"]:
            head = {"compiler": compiler[0], "kernel": kernel, "active": active, "layout": layout}
            asked = [*command, "--kernel", kernel]
            for what, option in WORK.items():
                prefixes = ("sd_scan_", "sd_collect_")
                runs = [*asked, option, "1"], [*asked, option, str(1 + QUERIES)]
                both = difference(*runs, prefixes, arguments.rows, scratch)
                choosing = both["sd_collect_"]["instructions"]
                found.append({**head, "work": what, **both["sd_scan_"], "choosing": choosing})
    return found


def write(active: int, arguments: argparse.Namespace, layout: str, scratch: Path) -> tuple[str, str]:
    """A packed file and a trace of queries."""
    rows, dim = arguments.rows, arguments.dim
    file, trace = scratch / f"{layout}-{active}.sd", scratch / "trace.txt"
    rng = np.random.default_rng(active)
    columns = np.sort(np.argsort(rng.random((rows, dim)), axis=1)[:, :active], axis=1).ravel()
    entries = rng.standard_normal(rows * active).astype(np.float32)
    pointers = np.arange(0, rows * active + 1, active)
    items = sp.csr_array((entries, columns, pointers), shape=(rows, dim))
    ids = [str(i) for i in range(rows)]
    pack(file, items, item_ids=ids, layout=layout, values=arguments.values, similarity="cosine")
    trace.write_text(
        "".join(" ".join(map(str, rng.choice(rows, 20, replace=False))) + "\n" for _ in range(QUERIES))
    )
    return str(file), str(trace)


def difference(
    once: list[str], more: list[str], prefixes: tuple[str, ...], rows: int, scratch: Path
) -> dict[str, dict[str, Any]]:
    """What functions named ``prefix…`` execute for a row, by prefix: the longer run less the shorter.

    Cycles are estimated for the first prefix.
    """
    runs = [counted(command, prefixes, scratch) for command in (once, more)]
    again = [counted(command, prefixes, scratch) for command in (once, more)]
    if runs != again:
        raise SystemExit(f"{prefixes[0]}: counts of two runs differ; is something else traced?")
    (short, before), (long, trace) = runs
    found: dict[str, dict[str, Any]] = {}
    for prefix in prefixes:
        found[prefix] = {
            key: (long[prefix][key] - short[prefix][key]) / (rows * QUERIES) for key in long[prefix]
        }
    first = found[prefixes[0]]
    # The last query's share; what the longer run executes beyond the shorter one comes after it.
    own = trace[len(before) :]
    own = own[len(own) // 4 * (QUERIES - 1) // QUERIES * 4 :]
    first["cycles"] = {core: value * first["instructions"] for core, value in cycles(own).items()}
    return found


def counted(
    command: list[str], prefixes: tuple[str, ...], scratch: Path
) -> tuple[dict[str, dict[str, int]], bytes]:
    """Instructions, loads and loaded bytes by prefix, and the code that the first one executed, in order."""
    where = scratch / "trace"
    functions, _ = count_program(command, where, prefixes[0])
    found = {}
    for prefix in prefixes:
        mine = [counts for name, counts in functions.items() if belongs(name, prefix)]
        keys = ("instructions", "loads", "load_bytes")
        found[prefix] = {key: sum(getattr(counts, key) for counts in mine) for key in keys}
    return found, where.read_bytes()


def belongs(name: str, prefix: str) -> bool:
    """Whether a function is meant; dense kernels have names that begin like others'."""
    return name.startswith(prefix) if prefix.endswith("_") else name == prefix


def line(row: dict[str, Any]) -> str:
    """One row for a person who waits."""
    estimates = "  ".join(f"{core} {value:.2f}" for core, value in row["cycles"].items())
    what = f"{row['layout']:7} {row['active']:3} active  {row['kernel']:15} {row['work']:10}"
    return f"{what} {row['instructions']:7.2f} a row  {estimates}"


def markdown(table: list[dict[str, Any]]) -> str:
    """The table, with cycles only where they were estimated."""
    cores = list(table[0]["cycles"])
    head = ["compiler", "layout", "active", "kernel", "work", "instructions a row", "choosing"]
    head += ["bytes loaded a row", *(f"est. cycles, {core}" for core in cores)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 5 + "---:|" * (len(head) - 5)]
    for row in table:
        cells = [row["compiler"], row["layout"], str(row["active"]), row["kernel"], row["work"]]
        cells += [f"{row['instructions']:.2f}", f"{row.get('choosing', 0):.2f}", f"{row['load_bytes']:.1f}"]
        cells += [f"{row['cycles'][core]:.2f}" for core in cores]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
