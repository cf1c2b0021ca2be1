"""Would a bitmap layout of the item rows be smaller or faster than slices? int8 values, one thread.

    python benchmarks/runtime/bitmap.py [--rows 40960]

Bytes are those of columns or masks, values and scales. Times are of the scan alone: the core's (best of its
calls, the query taken off) and that of ``bitmap.c``, compiled here. Needs gcc and AVX-512 with VBMI2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparsedevice.bench.native import build_tool
from sparsedevice.packing import pack

CASES = ((64, 6), (64, 13), (64, 26), (256, 25), (256, 64))
FLAGS = "-std=gnu11 -O3 -ffp-contract=off -mavx512f -mavx512bw -mavx512vl -mavx512vbmi2 -mavx512vnni -mpopcnt"


def sliced_ns(rows: int, dim: int, active: int, folder: Path) -> float:
    """Nanoseconds a row of the core's scan."""
    rng = np.random.default_rng(0)
    columns = np.sort(np.argsort(rng.random((rows, dim)), axis=1)[:, :active], axis=1).ravel()
    values = rng.standard_normal(rows * active).astype(np.float32)
    table = sp.csr_array((values, columns, np.arange(0, rows * active + 1, active)), shape=(rows, dim))
    file, trace = folder / "x.sd", folder / "trace"
    pack(file, table, item_ids=[str(i) for i in range(rows)], layout="sliced")
    trace.write_text("".join(f"{i} {i + 7}\n" for i in range(20)))
    command = [str(build_tool("x86_64")), str(file), str(trace), "--min-seconds", "0.3"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    phases = json.loads(said.strip().splitlines()[-1])["phases"]
    return 1e3 * (phases["fold_in_and_scan"]["min_us"] - phases["fold_in"]["min_us"]) / rows


def bitmap_ns(rows: int, dim: int, active: int, folder: Path) -> float:
    """Nanoseconds a row of the prototype."""
    program, source = folder / "bitmap", Path(__file__).with_suffix(".c")
    subprocess.run(["gcc", *FLAGS.split(), f"-DDIM={dim}", str(source), "-o", str(program)], check=True)
    command = [str(program), str(rows), str(active)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=40960)
    rows = parser.parse_args().rows
    print("| active | bytes a row: sliced | bitmap | ns a row: sliced | bitmap |\n|---|---:|---:|---:|---:|")
    for dim, active in CASES:
        with tempfile.TemporaryDirectory() as name:
            times = [measure(rows, dim, active, Path(name)) for measure in (sliced_ns, bitmap_ns)]
        sizes = f"{2 * active + 4} | {dim // 8 + active + 4}"
        print(f"| {active} of {dim} | {sizes} | {times[0]:.2f} | {times[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
