"""This project's C core through its Python binding: the packed file, mapped."""

from __future__ import annotations

import json
from pathlib import Path

from serve import Loaded, serve

REQUIREMENTS: list[str] = []  # the project's own environment
VARIANTS = ["core"]
#: The sections that stand for what the peers hold: rows, and what makes a query of a history.
_PARTS = {"ITEM_POINTERS", "ITEM_COLUMNS", "ITEM_VALUES", "ITEM_SCALES", "FOLD_WEIGHTS", "FOLD_MATRIX"}


def load(_variant: str, data: Path, k: int) -> Loaded:
    """From item ids to item ids: fold-in, scores, choice."""
    from sparsedevice.packing import PackedFile
    from sparsedevice.runtime import load as open_file

    file = data / "model.sd"
    sections = PackedFile.open(file, verify=False).sections
    recommender = open_file(file, "core", verify=False)
    histories = json.loads((data / "histories.json").read_text())
    note = "from item ids to ids and titles, with fold-in; the others only search a ready vector"
    return Loaded(
        lambda query: recommender.recommend(history=histories[query], k=k, exclude="none").rows,
        sum(section.length for kind, section in sections.items() if kind.name in _PARTS),
        note,
    )


if __name__ == "__main__":
    serve(load, "sparsedevice.runtime.core", "sparsedevice.packing")
