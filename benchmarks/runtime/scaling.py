"""How opening, memory and top-20 grow with the catalogue: files of 10,000 to 10 million synthetic rows.

    python benchmarks/runtime/scaling.py [--most 10000000]

One process for each size, so that its memory is its own. The file is in the page cache (it has just been
written); "anonymous" is memory of the process that no file backs, beyond what it had before it opened the
file. Packing is measured as well: its time, and the peak of the process. Packing and verifying, which take
seconds, are given as processor time of their one thread, which other programs change less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write(path: str, n_items: int) -> None:
    """Pack ``n_items`` rows of six of 64 entries, int8."""
    import scipy.sparse as sp

    from sparsedevice.packing import pack

    rng = np.random.default_rng(0)
    first = rng.integers(0, 64, n_items, dtype=np.int32)
    columns = np.sort((first[:, None] + np.array([0, 5, 11, 22, 37, 50], np.int32)) % 64, axis=1)
    data = rng.standard_normal(6 * n_items, dtype=np.float32)
    table = sp.csr_array((data, columns.ravel(), 6 * np.arange(n_items + 1)), shape=(n_items, 64))
    started = time.process_time()
    info = pack(path, table, item_ids=[str(i) for i in range(n_items)])
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"pack_s": seconds, "pack_peak_bytes": peak, "file_bytes": info.file_bytes}))


def measure(path: str, n_items: int) -> None:
    """Open, verify and ask."""
    from sparsedevice.runtime.core import CoreRecommender

    def anonymous() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return (
            sum(int(line.split()[1]) for line in lines if line.startswith(("Anonymous:", "SwapPss:"))) * 1024
        )

    rng = np.random.default_rng(1)
    histories = [[str(i) for i in rng.integers(0, n_items, 10)] for _ in range(40)]
    before = anonymous()
    started = time.perf_counter()
    core = CoreRecommender.open(path, verify=False)
    opened = time.perf_counter()
    core.recommend(history=histories[0], k=20)
    first = time.perf_counter()
    growth = anonymous() - before
    times = []
    for turn in range(200 if n_items < 1_000_000 else 40):
        begin = time.perf_counter()
        core.recommend(history=histories[turn % 40], k=20)
        times.append(time.perf_counter() - begin)
    begin = time.process_time()
    core._model.verify()
    verified = time.process_time() - begin
    figures = {
        "open_ms": (opened - started) * 1e3,
        "first_query_ms": (first - opened) * 1e3,
        "query_us": float(np.median(times)) * 1e6,
        "verify_ms": verified * 1e3,
        "anonymous_bytes": growth,
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=int, default=10_000_000)
    parser.add_argument("--step", choices=("write", "measure"), help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        (write if arguments.step == "write" else measure)(arguments.path, arguments.most)
        return
    print("| rows | file | pack | pack peak | open | verify | first query | top-20 | ns a row | anonymous |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    n = 10_000
    while n <= arguments.most:
        with tempfile.TemporaryDirectory() as folder:
            results: dict[str, float] = {}
            for step in ("write", "measure"):
                command = [
                    sys.executable,
                    __file__,
                    "--most",
                    str(n),
                    "--step",
                    step,
                    "--path",
                    f"{folder}/x.sd",
                ]
                results |= json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(
            f"| {n:,} | {results['file_bytes'] / 1e6:.1f} MB | {results['pack_s']:.1f} s"
            f" | {results['pack_peak_bytes'] / 1e6:,.0f} MB | {results['open_ms']:.2f} ms"
            f" | {results['verify_ms']:.1f} ms | {results['first_query_ms']:.2f} ms"
            f" | {results['query_us']:.0f} us | {results['query_us'] * 1e3 / n:.2f}"
            f" | {results['anonymous_bytes']:,} B |",
            flush=True,
        )
        n *= 10


if __name__ == "__main__":
    main()
