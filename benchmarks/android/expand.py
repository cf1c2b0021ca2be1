"""How long a compact file takes to become the packed one again: the Java library on a JVM beside Python.

    python benchmarks/android/expand.py [--rows 40981] [--dim 64] [--active 6] [--values int8] [--turns 15]

Rows as in benchmarks/packing/decoding.py, ids are numbers. A turn starts a JVM, whose first expansion is that
of a process in which nothing is compiled yet, as at an app's first start; then Java and Python take turns.
Both write the file, flush it to disk and check its sha256. Opening, verified, is asked through a pipe.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import compact, expand, pack

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.packing.decoding import rows_of  # noqa: E402
from tests.android.jvm import Jvm, build_classes  # noqa: E402

WARM = 20


def write(path: Path, arguments: argparse.Namespace) -> None:
    """The packed file."""
    n, limit = arguments.rows, 127 if arguments.values == "int8" else 7
    made = rows_of(n, arguments.dim, arguments.active, limit, uneven=False)
    rows = sp.csr_array((made.values.astype(np.float32), made.columns, made.indptr), shape=(n, arguments.dim))
    pack(path, rows, item_ids=[str(i) for i in range(n)], values=arguments.values)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begin = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=40_981)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--active", type=int, default=6)
    parser.add_argument("--values", default="int8", choices=("int8", "int4"))
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed, coded = folder / "model.sd", folder / "model.sdz"
        write(packed, arguments)
        compact(packed, coded)
        sys.stdout.write(f"packed {packed.stat().st_size} bytes, compact {coded.stat().st_size}\n")
        classes = build_classes(folder)
        times: dict[str, list[float]] = {}
        for _ in range(arguments.turns):
            turn(classes, folder, times)
    for arm, own in times.items():
        sys.stdout.write(f"{arm:34} median {median(own):8.2f} ms, least {min(own):8.2f} ms\n")


def turn(classes: Path, folder: Path, times: dict[str, list[float]]) -> None:
    """One JVM, in turns with this process."""
    packed, coded, out = folder / "model.sd", folder / "model.sdz", folder / "out.sd"
    jvm = Jvm(classes)

    def note(arm: str, milliseconds: float) -> None:
        times.setdefault(arm, []).append(milliseconds)

    def in_java() -> float:
        return float(jvm.ask("expand", compact=str(coded), out=str(out))["ns"]) / 1e6

    note("Java, first in its process", in_java())
    assert out.read_bytes() == packed.read_bytes()
    for _ in range(WARM):
        in_java()
        expand(coded, out)
    for _ in range(WARM):
        note("Java, afterwards", in_java())
        note("Python", timed(lambda: expand(coded, out)))
        for path in (packed, coded):
            note(
                f"opening {path.name}",
                timed(lambda path=path: jvm.ask("open", path=str(path), engine="JAVA")),
            )
    jvm.close()


if __name__ == "__main__":
    main()
