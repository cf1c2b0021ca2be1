"""Modelled data-cache misses for each scored row: a bundle's table beside dense ones of as many rows.

    python -m benchmarks.arm64.cache BUNDLE

The model is of ``sparsedevice/bench/native/cache.c``: sizes as in
``sparsedevice.bench.machines.cache_model``, no prefetching, no third level. Bundle: everything that a query
does, choosing included. Dense: scoring alone, with tables of 64 columns. Needs qemu-user and gcc-
aarch64-linux-gnu.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from sparsedevice.bench.machines.cache_model import CORES, misses_between
from sparsedevice.bench.native import build_tool, compile_once
from sparsedevice.bench.native.build import find_compiler
from sparsedevice.bench.trace import find_queries
from sparsedevice.packing import PackedFile

HERE = Path(__file__).parent
QUERIES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    packed = PackedFile.open(parser.parse_args().bundle / "model.sd")
    queries = find_queries("zipf", packed, 0)
    rows = packed.n_items
    print(f"{rows:,} rows, {packed.dim} columns, {packed.nnz / rows:.1f} active, {packed.values}\n")
    print("| table | " + " | ".join(f"{core}: L1, L2 misses a row" for core in CORES) + " |")
    print("|---" * (1 + len(CORES)) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        trace = Path(scratch) / "trace.txt"
        replace(queries, histories=queries.histories[: 1 + QUERIES]).write(trace)
        command = [str(build_tool("aarch64")), str(packed.path), str(trace), "--queries"]
        show("packed, a whole query", [*command, "1"], [*command, str(1 + QUERIES)], rows)
    source = HERE / "dense.c"
    flags = ["-std=c11", "-O3", "-march=armv8.2-a+dotprod", "-static", str(source)]
    program = compile_once("dense-aarch64", find_compiler("aarch64"), flags, [source, HERE / "dense.h"])
    for kernel in ("dense_i8", "dense_f32"):
        command = [str(program), kernel, str(rows)]
        show(f"{kernel.replace('_', ' ')}, scoring", [*command, "1"], [*command, str(1 + QUERIES)], rows)


def show(name: str, once: list[str], more: list[str], rows: int) -> None:
    found = misses_between(once, more, QUERIES * rows)
    cells = (f"{found[core]['l1_misses']:.3f}, {found[core]['l2_misses']:.3f}" for core in CORES)
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
