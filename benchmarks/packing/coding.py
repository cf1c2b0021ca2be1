"""Bytes and speed of the compact coding and of deltas, for the tables of a run folder.

    python benchmarks/packing/coding.py RUN [--out report.json]

Prints, for int8 and int4: the packed file, the same file compact, what columns and values take beside
log2 C(dim, length) bits a row and 8 or 4 bits a value, and how fast the decoder is (one thread). Ids are left
out by giving row i the id "i", which costs some hundred bytes. Then deltas, with a share of all item and user
rows replaced by rows of other ids and a hundredth as many items new and gone.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import PackedFile, compact, diff, pack, patch
from sparsedevice.packing.compact import expand_bytes
from sparsedevice.packing.compact_body import coded_columns, value_bytes_of
from sparsedevice.packing.entropy import SLACK, Coded, decode_bytes, decode_columns, encode_bytes
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.streams import deflate
from sparsedevice.run import Run

SHARES = (0.0, 0.001, 0.01, 0.1, 1.0)


def seconds(work: Callable[[], object], repetitions: int = 15) -> float:
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return median(times)


def columns_of(rows: Rows) -> dict:
    """Bytes of the coded columns, beside the least that a coding without a model of the columns can take."""
    bits = sum(math.log2(math.comb(rows.dim, int(k))) for k in np.diff(rows.indptr))
    gaps, coded = coded_columns(rows)
    coded = with_slack(coded)
    took = seconds(lambda: decode_columns(coded, rows.indptr, rows.dim, gaps))
    return {
        "coded_bytes": int(coded.stream_bytes.sum()),
        "table_bytes": len(deflate(coded.code_lengths.tobytes())),
        "log2_binomial_bytes": round(bits / 8),
        "decode_ns_per_entry": round(1e9 * took / len(rows.columns), 2),
    }


def values_of(rows: Rows, coding: str) -> dict:
    plain = value_bytes_of(rows.values, coding)
    coded = with_slack(encode_bytes(plain))
    took = seconds(lambda: decode_bytes(coded, len(plain)))
    return {
        "coded_bytes": int(coded.stream_bytes.sum()),
        "plain_bytes": len(plain),
        "decode_ns_per_entry": round(1e9 * took / len(rows.values), 2),
    }


def with_slack(coded: Coded) -> Coded:
    return Coded(bytes(coded.streams) + bytes(SLACK), coded.stream_bytes, coded.code_lengths)


def sizes(run: Run, folder: Path) -> dict:
    items, users = run.items, run.users
    report = {}
    for values in ("int8", "int4"):
        path = folder / f"{values}.sd"
        ids = [str(i) for i in range(items.shape[0])]
        tables = {"values": values, "similarity": run.similarity}
        if users is not None:
            tables |= {"users": users, "user_ids": [str(i) for i in range(users.shape[0])]}
        order = pack(path, items, item_ids=ids, **tables).order
        in_file_order = [""] * len(ids)
        for row, i in enumerate(order.tolist()):
            in_file_order[i] = str(row)
        info = pack(path, items, item_ids=in_file_order, **tables)
        said = compact(path, path.with_suffix(".sdz"))
        coded = path.with_suffix(".sdz").read_bytes()
        took = seconds(lambda data=coded: expand_bytes(data), 5)
        packed = PackedFile.open(path)
        own = sum(size for name, size in info.section_bytes.items() if "_id_" not in name)
        all_rows = {"items": packed.item_rows} | ({"users": packed.user_rows} if users is not None else {})
        report[values] = {
            "packed_bytes": info.file_bytes,
            "packed_bytes_without_ids": own,
            "compact_bytes_without_ids": said["bytes"],
            "expand_ms": round(1e3 * took, 1),
            "expand_mb_per_s": round(info.file_bytes / took / 1e6, 1),
            "columns": {name: columns_of(rows) for name, rows in all_rows.items()},
            "values": {name: values_of(rows, values) for name, rows in all_rows.items()},
        }
    n_rows = items.shape[0] + (0 if users is None else users.shape[0])
    return {"rows": n_rows, "dim": items.shape[1], "dense_fp32_bytes": 4 * n_rows * items.shape[1], **report}


def refreshed(rows: sp.csr_array, share: float, rng: np.random.Generator) -> sp.csr_array:
    """Rows of which a share are another row's."""
    picked = np.arange(rows.shape[0])
    replaced = rng.random(len(picked)) < share
    picked[replaced] = rng.integers(0, len(picked), int(replaced.sum()))
    return sp.csr_array(rows[picked])


def deltas(run: Run, folder: Path) -> dict:
    rng = np.random.default_rng(0)
    n = run.items.shape[0]
    ids = [run.split.train.item_ids.ids[i] for i in range(n)]
    report = {}
    for values in ("int8", "int4"):
        old, new, out = folder / f"old-{values}.sd", folder / f"new-{values}.sd", folder / "delta.sdd"
        pack(old, run.items, item_ids=ids, values=values, similarity=run.similarity)
        full = compact(old, folder / "old.sdz")["bytes"]
        report[values] = {"packed_bytes": old.stat().st_size, "compact_bytes": full}
        for share in SHARES:
            items, new_ids = refreshed(run.items, share, rng), list(ids)
            for i in rng.choice(n, int(share * n / 100), replace=False).tolist():
                new_ids[i] = f"new-{i}"
            pack(new, items, item_ids=new_ids, values=values, similarity=run.similarity)
            said = diff(old, new, out)
            begin = time.perf_counter()
            patch(old, out, folder / "result.sd")
            report[values][f"{share:.1%} of rows replaced"] = {
                "kind": said["kind"],
                "bytes": said["bytes"],
                "patch_ms": round(1e3 * (time.perf_counter() - begin)),
            }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, help="also write the report here")
    arguments = parser.parse_args()
    run = Run.load(arguments.run)
    with tempfile.TemporaryDirectory() as name:
        report = {"compact": sizes(run, Path(name)), "delta": deltas(run, Path(name))}
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
