"""Real logs, with their known counts. They may not be redistributed: the tests skip where they are absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsedevice.data import DataOptions, load_split, read_interactions

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"the data set {name} is not at {SHARED}")
    return SHARED / name


@pytest.mark.parametrize(
    ("name", "counts", "title"),
    [
        ("ml-100k", (943, 1682, 100_000), ("50", "Star Wars (1977)")),
        ("ml-1m", (6040, 3706, 1_000_209), ("1", "Toy Story (1995)")),
        ("ml-latest-small", (610, 9724, 100_836), ("1", "Toy Story (1995)")),
        ("movietweetings-100k", (16_554, 10_506, 100_000), ("0104257", "A Few Good Men (1992)")),
        ("gowalla", (29_858, 40_981, 1_027_370), None),
        ("ml-1m-lcfn-split", (6022, 3043, 895_699), None),
    ],
)
def test_counts(name, counts, title):
    pytest.importorskip("polars") if title else None
    log = read_interactions(real(name))
    assert (log.n_users, log.n_items, len(log)) == counts
    if title is not None:
        assert log.titles[log.item_ids.row(title[0])] == title[1]
        assert all(log.titles)


@pytest.mark.parametrize(
    ("name", "train", "test"), [("gowalla", 810_128, 217_242), ("ml-1m-lcfn-split", 796_244, 99_455)]
)
def test_given_splits(name, train, test):
    split = load_split(real(name))
    assert len(split.train) + len(split.validation) == train
    assert len(split.test) == test
    assert split.warnings == ()
    assert split.train.item_ids.ids[7] == "7"  # rows are the ids


def test_k_core_of_movietweetings():
    pytest.importorskip("polars")
    log = read_interactions(real("movietweetings-100k"), DataOptions(k_core=5))
    assert (log.n_users, log.n_items, len(log)) == (4333, 2414, 68_055)
