"""How fast a compact file's rows become the scan layout, part by part: one thread, synthetic rows.

    python benchmarks/packing/decoding.py [--rows 40981] [--dim 64] [--active 6] [--values int8] [--uneven]

Columns come together as in trained tables: each row draws them from one of 200 distributions. Parts take
turns; the median of 60 is given, in nanoseconds an entry and in megabytes a second of columns
and values that come out (two bytes an entry at int8, one and a half at int4). "Copying" is what reading and
writing that many bytes takes. Scales, the file's checksums and its sha256 are counted apart.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import zlib
from collections.abc import Callable
from statistics import median

import numpy as np

from sparsedevice.packing.compact_body import coded_columns, put_lengths, take_lengths, value_bytes_of
from sparsedevice.packing.entropy import SLACK, Coded, encode_bytes
from sparsedevice.packing.quantize import Rows, row_inverse_norms
from sparsedevice.packing.sliced import pack_nibbles, to_slices
from sparsedevice.packing.streams import Sink, Source
from sparsedevice.runtime import _core

KINDS = 200
TURNS = 60


def rows_of(n: int, dim: int, active: int, limit: int, uneven: bool) -> Rows:
    """Rows with ``active`` entries each, or with up to a third fewer, longest first as in a packed file."""
    rng = np.random.default_rng(0)
    likely = np.log(rng.gamma(0.25, 1.0, (KINDS, dim)) + 0.01)
    drawn = likely[rng.integers(0, KINDS, n)] + rng.gumbel(size=(n, dim))
    columns = np.argsort(-drawn, axis=1)[:, :active]
    lengths = np.full(n, active)
    if uneven:
        lengths = np.sort(rng.integers(active - active // 3, active + 1, n))[::-1]
    columns[np.arange(active) >= lengths[:, None]] = dim
    columns.sort(axis=1)
    kept = columns[columns < dim].astype(np.int32)
    values = np.clip(np.rint(rng.normal(0, 0.43 * limit, len(kept))), -limit, limit).astype(np.int8)
    values[values == 0] = 1
    return Rows(np.concatenate(([0], np.cumsum(lengths))), kept, values, np.ones(n, np.float32), dim)


def in_turns(parts: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each, median."""
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(TURNS):
        for name, work in parts.items():
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    return {name: median(own) for name, own in times.items()}


def with_slack(coded: Coded) -> Coded:
    return Coded(bytes(coded.streams) + bytes(SLACK), coded.stream_bytes, coded.code_lengths)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=40981)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--active", type=int, default=6)
    parser.add_argument("--values", choices=("int8", "int4"), default="int8")
    parser.add_argument("--uneven", action="store_true", help="rows of different lengths")
    arguments = parser.parse_args()
    limit = {"int8": 127, "int4": 7}[arguments.values]
    rows = rows_of(arguments.rows, arguments.dim, arguments.active, limit, arguments.uneven)
    entries = len(rows.columns)
    gaps, columns = coded_columns(rows)
    columns = with_slack(columns)
    plain_values = value_bytes_of(rows.values, arguments.values)
    values = with_slack(encode_bytes(plain_values))
    for name, coded in (("columns", columns), ("values", values)):
        print(f"{name}: {8 * (len(coded.streams) - SLACK) / entries:.2f} bits an entry")

    narrow = np.uint8 if rows.dim <= 256 else np.uint16
    some_columns, some_values = np.empty(entries, narrow), np.empty_like(plain_values)
    lengths = np.diff(rows.indptr).astype(np.uint16)
    sink, streams = Sink(), Sink()
    put_lengths(sink, streams, np.diff(rows.indptr))
    length_body, length_streams = sink.data(), streams.data() + bytes(SLACK)
    decoded = Rows(rows.indptr, rows.columns.astype(narrow), rows.values, rows.scales, rows.dim)
    slices = to_slices(decoded)
    out = slices.columns.tobytes() + (
        slices.values.tobytes()
        if arguments.values == "int8"
        else pack_nibbles(slices.values, slices.pointers).tobytes()
    )
    output = np.frombuffer(out, np.uint8)
    copy = np.ones_like(output)

    def laid_out() -> None:
        laid = to_slices(decoded)
        if arguments.values == "int4":
            pack_nibbles(laid.values, laid.pointers)

    times = in_turns(
        {
            "copying": lambda: np.copyto(copy, output),
            "columns": lambda: _core.decode_columns(
                columns.streams,
                columns.stream_bytes,
                columns.code_lengths,
                some_columns,
                lengths,
                columns.code_lengths.shape[1],
                rows.dim,
                gaps.shift,
                gaps.low_bits,
            ),
            "values": lambda: _core.decode_bytes(
                values.streams, values.stream_bytes, values.code_lengths, some_values
            ),
            "lengths": lambda: take_lengths(Source(length_body), Source(length_streams), len(lengths)),
            "slices": laid_out,
            "scales": lambda: row_inverse_norms(rows.values, rows.indptr),
            "CRC-32": lambda: zlib.crc32(out),
            "sha256": lambda: hashlib.sha256(out).digest(),
        }
    )
    assert (some_columns == rows.columns).all()
    assert (some_values == plain_values).all()
    size = (entries if rows.dim <= 256 else 2 * entries) + len(plain_values)
    both = times["columns"] + times["values"]
    rows_of_file = both + times["lengths"] + times["slices"]
    times |= {"columns and values": both, "rows in the scan layout, without scales": rows_of_file}
    for name, seconds in times.items():
        print(f"{name}: {1e9 * seconds / entries:.2f} ns an entry, {size / seconds / 1e6:,.0f} MB/s")


if __name__ == "__main__":
    main()
