"""How fast columns and values of a compact file are decoded: one thread, synthetic rows.

    python benchmarks/packing/decoding.py [--rows 40981] [--dim 64] [--active 6]

Columns come together as in trained tables: each row draws them from one of 200 distributions. Prints bits and
nanoseconds an entry, best of 60, and megabytes a second of the columns and int8 values that come out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from sparsedevice.packing.compact_body import best_gaps
from sparsedevice.packing.entropy import decode, encode, fit_tables, lane_starts
from sparsedevice.packing.quantize import Rows

KINDS = 200


def rows_of(n: int, dim: int, active: int) -> Rows:
    """Rows with ``active`` entries each."""
    rng = np.random.default_rng(0)
    likely = np.log(rng.gamma(0.25, 1.0, (KINDS, dim)) + 0.01)
    drawn = likely[rng.integers(0, KINDS, n)] + rng.gumbel(size=(n, dim))
    columns = np.sort(np.argsort(-drawn, axis=1)[:, :active], axis=1).astype(np.int32).ravel()
    values = np.clip(np.rint(rng.normal(0, 55, n * active)), -127, 127).astype(np.int8)
    values[values == 0] = 1
    return Rows(np.arange(0, n * active + 1, active), columns, values, np.ones(n, np.float32), dim)


def best(work: Callable[[], object]) -> float:
    """Seconds."""
    times = []
    for _ in range(60):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=40981)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--active", type=int, default=6)
    arguments = parser.parse_args()
    rows = rows_of(arguments.rows, arguments.dim, arguments.active)
    starts, entries = lane_starts(rows.indptr), len(rows.columns)

    gaps, symbols, low, table, frequencies = best_gaps(rows)
    words, lane_words = encode(symbols, table, frequencies, starts)
    data = memoryview(words.astype("<u2").tobytes())
    columns_s = best(lambda: decode(data, lane_words, frequencies, rows.indptr, rows.dim, gaps, low))
    print(f"columns: {16 * len(words) / entries:.2f} bits, {1e9 * columns_s / entries:.2f} ns an entry")

    symbols, table = rows.values.view(np.uint8), np.zeros(entries, np.int64)
    frequencies = fit_tables(symbols, table, 1, 256)
    words, lane_words = encode(symbols, table, frequencies, starts)
    data = memoryview(words.astype("<u2").tobytes())
    values_s = best(lambda: decode(data, lane_words, frequencies, rows.indptr, 256))
    print(f"values: {16 * len(words) / entries:.2f} bits, {1e9 * values_s / entries:.2f} ns an entry")
    print(f"both: {2 * entries / (columns_s + values_s) / 1e6:.0f} MB/s")


if __name__ == "__main__":
    main()
