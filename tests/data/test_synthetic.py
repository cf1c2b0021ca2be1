"""The synthetic world holds what it promises: tastes, titles, popular items, determinism."""

from __future__ import annotations

import numpy as np
import pytest

from sparsedevice.data import SyntheticOptions, checkerboard, load_split, make_synthetic, read_interactions
from sparsedevice.data.titles import GENRES, title_of
from sparsedevice.errors import ConfigError


def test_checkerboard_is_exact():
    log = checkerboard(7)
    users = np.array([int(id_) for id_ in log.user_ids.ids])
    items = np.array([int(id_) for id_ in log.item_ids.ids])
    assert (log.matrix().toarray() == (users[:, None] % 2 == items % 2)).all()
    split = load_split("synthetic:kind=checkerboard,users=20,items=20")
    for part in (split.train, split.validation, split.test):
        parity = [
            (int(part.user_ids.ids[u]) + int(part.item_ids.ids[i])) % 2
            for u, i in zip(part.user_index, part.item_index, strict=True)
        ]
        assert not any(parity)


def test_tastes_are_planted_and_popularity_is_skewed():
    log = make_synthetic(SyntheticOptions(tastes=5))
    users = np.array(log.user_ids.ids, dtype=int)[log.user_index]
    items = np.array(log.item_ids.ids, dtype=int)[log.item_index]
    own = users % 5 == items % 5
    assert 0.7 < own.mean() < 0.9
    assert log.rating[own].mean() > log.rating[~own].mean() + 1
    assert set(np.unique(log.rating)) == {1, 2, 3, 4, 5}
    count = np.sort(np.bincount(log.item_index))[::-1]
    assert count[:60].sum() > 0.25 * count.sum()
    assert (np.diff(log.timestamp) >= 0).all()
    assert len(set(zip(users, items, strict=True))) == len(log)


def test_taste_beats_popularity_on_the_held_out_part():
    split = load_split("synthetic")
    train, test = split.train.matrix(), split.test.matrix()
    popularity = np.asarray(train.sum(axis=0)).ravel()
    taste_of_user = np.array(train.shape[0] * [0]) + np.array(split.train.user_ids.ids, dtype=int) % 6
    taste_of_item = np.array(split.train.item_ids.ids, dtype=int) % 6
    scores = popularity[None, :] + 1e6 * (taste_of_user[:, None] == taste_of_item)

    def recall(score):
        score = np.where(train.toarray() > 0, -np.inf, score)
        top = np.argsort(-score, axis=1, kind="stable")[:, :20]
        hits = np.take_along_axis(test.toarray(), top, axis=1).sum(axis=1)
        relevant = np.asarray(test.sum(axis=1)).ravel()
        return (hits / relevant)[relevant > 0].mean()

    assert recall(scores) > 2 * recall(np.broadcast_to(popularity, scores.shape))


def test_titles_are_distinct_and_tell_the_taste():
    titles = [title_of(genre, number) for genre in range(len(GENRES)) for number in range(1000)]
    assert len(set(titles)) == len(titles)
    log = read_interactions("synthetic:users=100,items=50,tastes=4")
    for id_, title in zip(log.item_ids.ids, log.titles, strict=True):
        assert title.endswith(f"({GENRES[int(id_) % 4]})")
        assert title.startswith("The ")


def test_seed_decides():
    same = [read_interactions("synthetic:users=90,items=60,seed=4").fingerprint() for _ in range(2)]
    assert same[0] == same[1] != read_interactions("synthetic:users=90,items=60,seed=5").fingerprint()


@pytest.mark.parametrize(
    "wrong", ["users=1", "items=0", "tastes=1", "tastes=99", "loyalty=2", "kind=cats", "history=1"]
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=wrong.split("=")[0]):
        load_split(f"synthetic:{wrong}")
