"""How long a compact file takes to become a packed file: one thread, parts in turns.

    python -m benchmarks.packing.expanding [FILE.sd ...]    # packed files; else three made-up ones

Made-up files have 40,981 items of 64 columns, 90 % sparse, int8, with ids "0", "1", …; ids of ten letters and
digits in no order; or titles of two to six words beside ids. "Expanding" goes from bytes to bytes with every
check; "and writing" also reads the compact file and puts the packed one in its place, flushed. Medians of 60,
in milliseconds, and megabytes a second of the packed file.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from benchmarks.packing.decoding import in_turns
from sparsedevice.packing import compact, expand, pack
from sparsedevice.packing.compact import expand_bytes

N_ITEMS, DIM, ACTIVE = 40_981, 64, 6.4
LETTERS = np.array(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def made_up(folder: Path) -> list[Path]:
    """Three packed files."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.poisson(ACTIVE, N_ITEMS), 1, DIM)
    columns = np.argsort(rng.random((N_ITEMS, DIM)), axis=1)
    values = rng.normal(size=lengths.sum()).astype(np.float32)
    pointers = np.concatenate(([0], np.cumsum(lengths)))
    kept = columns[np.arange(DIM) < lengths[:, None]]
    items = sp.csr_array((values, kept, pointers), shape=(N_ITEMS, DIM))
    items.sort_indices()
    numbers = [str(i) for i in range(N_ITEMS)]
    letters = ["B00" + "".join(row) for row in LETTERS[rng.integers(0, 36, (N_ITEMS, 7))]]
    words = ["".join(row).lower() for row in LETTERS[rng.integers(10, 36, (2000, 6))]]
    titles = [" ".join(words[i] for i in rng.integers(0, 2000, rng.integers(2, 7))) for _ in numbers]
    files = []
    for name, ids, own in (
        ("ids 0, 1, …", numbers, None),
        ("ids of ten letters", letters, None),
        ("titles", numbers, titles),
    ):
        files.append(folder / f"{name}.sd")
        pack(files[-1], items, item_ids=ids, titles=own, values="int8", similarity="cosine")
    return files


def measure(packed: Path, scratch: Path) -> str:
    """One row of the table."""
    coded, out = scratch / "model.sdz", scratch / "out.sd"
    compact(packed, coded)
    small, whole = coded.read_bytes(), packed.read_bytes()
    copy = np.frombuffer(whole, np.uint8)
    room = np.empty_like(copy)
    times = in_turns(
        {
            "expanding": lambda: expand_bytes(small),
            "and writing": lambda: expand(coded, out),
            "sha256": lambda: hashlib.sha256(whole).digest(),
            "copying": lambda: np.copyto(room, copy),
        }
    )
    assert out.read_bytes() == whole
    cells = [packed.stem, f"{len(small):,}", f"{len(whole):,}"]
    cells += [f"{1e3 * seconds:.2f}" for seconds in times.values()]
    cells.append(f"{len(whole) / times['expanding'] / 1e6:,.0f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*")
    arguments = parser.parse_args()
    head = ["file", "compact bytes", "packed bytes", "expanding", "and writing", "sha256", "copying", "MB/s"]
    print("| " + " | ".join(head) + " |\n|" + "---|" + "---:|" * (len(head) - 1))
    with tempfile.TemporaryDirectory() as name:
        for packed in arguments.files or made_up(Path(name)):
            print(measure(packed, Path(name)), flush=True)


if __name__ == "__main__":
    main()
