"""Write the seed corpus of the fuzz targets: small valid files of every form, each with a few questions.

python fuzz/make_corpus.py FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.packing.small import write_small

FORMS = [
    ("int8", "sliced"),
    ("int4", "sliced"),
    ("int8", "wide"),
    ("int4", "wide"),
    ("int8", "columns"),
    ("int8", "rising"),
    ("int8", "csr"),
    ("int4", "csr"),
    ("f32", "csr"),
    ("f16", "csr"),
]
QUESTIONS = [bytes([128 + source, 3, 1, 5, 60, 69, 20, flags]) for source in (0, 1, 4) for flags in (2, 14)]


def main(folder: Path) -> None:
    """Write the seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for values, layout in FORMS:
            for similarity, tower in (("cosine", False), ("dot", False), ("cosine", True)):
                path = Path(scratch) / "small.sd"
                write_small(path, values=values, layout=layout, similarity=similarity, tower=tower)
                for i, question in enumerate(QUESTIONS):
                    seed = folder / f"{values}-{layout}-{'tower' if tower else similarity}-{i}"
                    seed.write_bytes(question + path.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
