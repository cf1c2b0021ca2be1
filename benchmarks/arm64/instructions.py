"""Executed arm64 instructions for each scored row: the core's kernels beside dense ones.

    python -m benchmarks.arm64.instructions [--rows 20480] [--json FILE]

Counts come from emulation (qemu-user and the plugin of ``sparsedevice/bench/native``) and are exact: every
count is taken twice and must be equal. Cycles are **estimates** by llvm-mca: each executed basic block is
taken as a loop of its own, with all data in the first cache; a core's model is only as good as LLVM's.
Needs qemu-user, gcc-aarch64-linux-gnu and, for cycles, llvm 19 or later (llvm-mc and llvm-mca).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsedevice.bench.machines.qemu import count_program, emulate
from sparsedevice.bench.native import build_tool, compile_once
from sparsedevice.bench.native.build import find_compiler
from sparsedevice.packing import pack

DIM = 64
QUERIES = 4
CORES = ("cortex-a55", "cortex-a76", "cortex-x3")
HERE = Path(__file__).parent
Block = tuple[str, str]  # address, code in hexadecimal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20480)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("dense_f32", "dense_i8"):
            table.append(dense(name, arguments.rows, Path(scratch)))
            print(line(table[-1]), flush=True)
        for active in (3, 6, 13):
            for layout in ("sliced", "csr"):
                for row in packed(active, layout, arguments.rows, Path(scratch)):
                    table.append(row)
                    print(line(row), flush=True)
    print("\n" + markdown(table))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, indent=2) + "\n")


def dense(name: str, rows: int, scratch: Path) -> dict[str, Any]:
    """One dense kernel over a table of ``rows`` rows."""
    source = HERE / "dense.c"
    flags = ["-std=c11", "-O3", "-march=armv8.2-a+dotprod", "-static", str(source)]
    program = compile_once("dense-aarch64", find_compiler("aarch64"), flags, [source, HERE / "dense.h"])
    per_row = difference(
        [str(program), name, str(rows), "1"],
        [str(program), name, str(rows), str(1 + QUERIES)],
        name,
        rows,
        scratch,
    )
    return {"kernel": name, "active": DIM, "layout": "dense", **per_row}


def packed(active: int, layout: str, rows: int, scratch: Path) -> list[dict[str, Any]]:
    """Every kernel of the core over a table with ``active`` of 64 int8 entries in each row."""
    file, trace = scratch / f"{layout}-{active}.sd", scratch / "trace.txt"
    rng = np.random.default_rng(active)
    columns = np.sort(np.argsort(rng.random((rows, DIM)), axis=1)[:, :active], axis=1).ravel()
    values = rng.standard_normal(rows * active).astype(np.float32)
    pointers = np.arange(0, rows * active + 1, active)
    items = sp.csr_array((values, columns, pointers), shape=(rows, DIM))
    pack(file, items, item_ids=[str(i) for i in range(rows)], layout=layout, similarity="cosine")
    trace.write_text(
        "".join(" ".join(map(str, rng.choice(rows, 20, replace=False))) + "\n" for _ in range(QUERIES))
    )
    command = [str(build_tool("aarch64")), str(file), str(trace)]
    said = json.loads(emulate([*command, "--min-seconds", "0", "--repetitions", "1"])[-1])
    found = []
    # Rows outside slices are scored by the scalar kernel, whatever the processor has.
    for kernel in said["kernels"] if layout == "sliced" else ["scalar"]:
        asked = [*command, "--kernel", kernel, "--queries"]
        per_row = difference([*asked, "1"], [*asked, str(1 + QUERIES)], "sd_scan_", rows, scratch)
        found.append({"kernel": kernel, "active": active, "layout": layout, **per_row})
    return found


def difference(once: list[str], more: list[str], prefix: str, rows: int, scratch: Path) -> dict[str, Any]:
    """What functions named ``prefix…`` execute for a row: the longer run less the shorter."""
    runs = [counted(command, prefix, scratch) for command in (once, more)]
    again = [counted(command, prefix, scratch) for command in (once, more)]
    if runs != again:
        raise SystemExit(f"{prefix}: counts of two runs differ; is something else traced?")
    (short, short_blocks), (long, long_blocks) = runs
    scored = rows * QUERIES
    out: dict[str, Any] = {key: (long[key] - short[key]) / scored for key in long}
    blocks = {block: n - short_blocks[block] for block, n in long_blocks.items() if n > short_blocks[block]}
    out["cycles"] = {core: value / scored for core, value in cycles(blocks).items()}
    return out


def counted(command: list[str], prefix: str, scratch: Path) -> tuple[dict[str, int], Counter[Block]]:
    """Instructions, loads and loaded bytes of the functions, and executions of their blocks."""
    where = scratch / "blocks.tsv"
    functions, _ = count_program(command, where)
    mine = [counts for name, counts in functions.items() if name.startswith(prefix)]
    keys = ("instructions", "loads", "load_bytes")
    blocks: Counter[Block] = Counter()
    for text in where.read_text().splitlines():
        name, address, executions, code = text.split("\t")
        if name.startswith(prefix):
            blocks[address, code] += int(executions)
    return {key: sum(getattr(counts, key) for counts in mine) for key in keys}, blocks


def cycles(blocks: Mapping[Block, int]) -> dict[str, float]:
    """Estimated cycles of all executions on each core; {} where llvm is not installed."""
    if _tool("llvm-mca") is None or _tool("llvm-mc") is None:
        return {}
    return {core: sum(n * _block_cycles(code, core) for (_, code), n in blocks.items()) for core in CORES}


@cache
def _block_cycles(code: str, core: str) -> float:
    """Cycles of one block, taken as a loop."""
    octets = " ".join(f"0x{code[i : i + 2]}" for i in range(0, len(code), 2))
    shown = _run(
        _tool("llvm-mc"), ["-disassemble", "-triple=aarch64", "-mattr=+v8.2a,+dotprod,+fullfp16"], octets
    )
    report = _run(_tool("llvm-mca"), ["-mtriple=aarch64", f"-mcpu={core}", "-iterations=200"], shown)
    found = re.search(r"Total Cycles:\s+(\d+)", report)
    if found is None:
        raise SystemExit(f"llvm-mca said nothing about {shown}")
    return int(found[1]) / 200


def _run(program: str | None, flags: list[str], text: str) -> str:
    assert program is not None
    done = subprocess.run([program, *flags], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program}: {done.stderr.strip()}")
    return done.stdout


@cache
def _tool(name: str) -> str | None:
    versions = [f"{name}-{version}" for version in range(25, 13, -1)]
    return next((found for found in map(shutil.which, [*versions, name]) if found), None)


def line(row: dict[str, Any]) -> str:
    """One row for a person who waits."""
    return (
        f"{row['layout']:7} {row['active']:3} of {DIM}  {row['kernel']:10} {row['instructions']:8.2f} a row"
    )


def markdown(table: list[dict[str, Any]]) -> str:
    """The table, with cycles only where they were estimated."""
    cores = [core for core in CORES if all(core in row["cycles"] for row in table)]
    head = ["layout", "active of 64", "kernel", "instructions a row", "loads a row", "bytes loaded a row"]
    head += [f"est. cycles, {core}" for core in cores]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 3 + "---:|" * (len(head) - 3)]
    for row in table:
        cells = [row["layout"], str(row["active"]), row["kernel"]]
        cells += [f"{row[key]:.2f}" for key in ("instructions", "loads", "load_bytes")]
        cells += [f"{row['cycles'][core]:.1f}" for core in cores]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
