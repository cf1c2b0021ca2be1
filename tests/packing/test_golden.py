"""The files in tests/golden: written once, read to the same answers for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sparsedevice.packing import PackedFile
from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.reference import NumpyRecommender
from tests.packing.small import N_ITEMS, item_id, user_id, write_small

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))


def answers(recommender, name: str) -> dict:
    """What the golden file of this name must answer; scores as float32 bits."""
    layout = name.split("-")[2]
    history = recommender.recommend(history=[item_id(3, layout), item_id(44, layout)], k=5)
    user = recommender.recommend(user=user_id(2, layout), k=3)
    return {
        "history": [history.items, history.titles, [score.tobytes().hex() for score in history.scores]],
        "user": [user.items, user.titles, [score.tobytes().hex() for score in user.scores]],
    }


@pytest.mark.parametrize("name", sorted(ANSWERS))
@pytest.mark.parametrize("open_", [NumpyRecommender.open, CoreRecommender.open], ids=["numpy", "core"])
def test_golden_file(open_, name):
    assert answers(open_(GOLDEN / name), name) == ANSWERS[name]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_writer_still_gives_the_same_bytes(name, tmp_path):
    """Version 1 was written by this function; a change here changes files that users compare by hash."""
    values, layout, form = name.removesuffix(".sd").split("-")[1:]
    similarity, tower = ("cosine", True) if form == "tower" else (form, False)
    write_small(tmp_path / name, values=values, layout=layout, similarity=similarity, tower=tower)
    assert (
        hashlib.sha256((tmp_path / name).read_bytes()).digest()
        == hashlib.sha256((GOLDEN / name).read_bytes()).digest()
    )


def test_golden_metadata():
    packed = PackedFile.open(GOLDEN / sorted(ANSWERS)[0])
    assert packed.metadata == {"model": "mf", "note": '"quoted" \\ é'}
    assert len(packed.vocabulary) == N_ITEMS
