"""Bytes of ids and titles: as they lie in the packed file, plain with pointers, and front-coded with zstd.

    pip install zstandard
    python benchmarks/packing/strings.py DATA [--out report.json]

DATA is a folder with gowalla/item_list.txt (LightGCN), movietweetings-100k/movies.dat, ml-1m/movies.dat and
ml-latest-small/movies.csv; what is missing is left out. Random ids are made at a fixed seed. All arms keep
the strings in the same order and are of the strings alone; the id index, which front-coded files do not have,
is beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import uuid
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import zstandard

from sparsedevice.packing import PackedFile, pack
from sparsedevice.packing.coded import code_list
from sparsedevice.packing.lists import Lists
from sparsedevice.packing.strings import id_index

ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lists(data: Path) -> dict[str, list[str]]:
    """The strings that are measured, by name."""
    rng = random.Random(0)
    found: dict[str, list[str]] = {}
    gowalla = data / "gowalla" / "item_list.txt"
    if gowalla.is_file():
        rows = [line.split() for line in gowalla.read_text(encoding="utf-8").splitlines()[1:]]
        found["Gowalla item ids, rows by length"] = by_length([row[1] for row in rows])
        found["Gowalla's original ids, rows by length"] = by_length([row[0] for row in rows])
    films = data / "movietweetings-100k" / "movies.dat"
    if films.is_file():
        ids = [line.split("::")[0] for line in films.read_text(encoding="utf-8").splitlines()]
        found["MovieTweetings' ids, of IMDb"] = ids
        found["MovieTweetings' ids, rows by length"] = by_length(ids)
    movies = data / "ml-1m" / "movies.dat"
    if movies.is_file():
        lines = movies.read_text(encoding="iso-8859-1").splitlines()
        found["ML-1M titles"] = [line.split("::")[1] for line in lines]
    movies = data / "ml-latest-small" / "movies.csv"
    if movies.is_file():
        with movies.open(encoding="utf-8") as file:
            found["ml-latest-small titles"] = [row["title"] for row in csv.DictReader(file)]
    found["random UUIDs"] = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(20_000)]
    found["ids like ASINs"] = ["B0" + "".join(rng.choices(ALNUM, k=8)) for _ in range(40_000)]
    found["ids like ASINs, sorted, rows by length"] = by_length(sorted(found["ids like ASINs"]))
    found["ids like ASINs, sorted, rows of slices"] = in_slices(sorted(found["ids like ASINs"]))
    found["random UUIDs, sorted, rows by length"] = by_length(sorted(found["random UUIDs"]))
    words = [
        "stone",
        "winter",
        "silent",
        "orbit",
        "river",
        "house",
        "blue",
        "night",
        "road",
        "last",
        "first",
        "empire",
        "garden",
        "glass",
    ]
    found["ids like URLs"] = [
        f"https://www.example.com/{rng.choice(('books', 'music', 'films'))}/{rng.choice(words)}-"
        f"{rng.choice(words)}-{rng.randrange(10**6)}"
        for _ in range(20_000)
    ]
    return found


def by_length(strings: list[str]) -> list[str]:
    """As rows of a packed file stand, with about six entries each."""
    lengths = np.random.default_rng(0).poisson(6, len(strings))
    return [strings[i] for i in np.argsort(-lengths, kind="stable")]


def in_slices(strings: list[str]) -> list[str]:
    """As rows of a packed file of 64 columns stand, random ones with about six entries each."""
    rng, n = np.random.default_rng(0), len(strings)
    there = np.argsort(rng.random((n, 64)), axis=1) < rng.poisson(6, n)[:, None]
    items = sp.csr_array((rng.normal(size=(n, 64)) * there).astype(np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items.sd"
        pack(path, items, item_ids=strings)
        return list(PackedFile.open(path).vocabulary.ids)


def front_coded(raw: list[bytes], level: int) -> int:
    """Bytes shared with the string before and the rest of each, with zstd; or plain lines where smaller."""
    shared, rest = bytearray(), []
    for before, string in pairwise([b"", *raw]):
        most = min(len(before), len(string), 255)
        same = next((i for i in range(most) if before[i] != string[i]), most)
        shared.append(same)
        rest.append(string[same:] + b"\xff")
    coder = zstandard.ZstdCompressor(level=level)
    coded = len(coder.compress(bytes(shared))) + len(coder.compress(b"".join(rest)))
    return min(coded, len(coder.compress(b"\n".join(raw))))


def measure(strings: list[str]) -> dict[str, int]:
    raw = [string.encode() for string in strings]
    parts = code_list(Lists.of(raw))
    assert parts is not None
    return {
        "strings": len(raw),
        "plain with pointers": sum(map(len, raw)) + 4 * len(raw) + 4,
        "packed file": sum(map(len, parts)),
        "coding": parts[1][0],
        "front-coded + zstd -3": front_coded(raw, 3),
        "front-coded + zstd -19": front_coded(raw, 19),
        "id index": len(id_index(Lists.of(raw))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="also write the report here")
    arguments = parser.parse_args()
    report = {name: measure(strings) for name, strings in lists(arguments.data).items()}
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
