"""Splits: nothing lost, nothing in two parts, the same for the same seed; filters before them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sparsedevice.data import DataOptions, Interactions, Split
from sparsedevice.data.filters import apply_filters, distinct_pairs, in_k_core
from sparsedevice.data.log import Log
from sparsedevice.data.splits import make_split
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.vocabulary import Vocabulary


@st.composite
def logs(draw, *, distinct=True):
    pair = st.tuples(st.integers(0, 7), st.integers(0, 9))
    pairs = draw(st.lists(pair, min_size=6, max_size=60, unique=distinct))
    users, items = zip(*pairs, strict=True)
    assume(len(set(users)) > 1 and len(set(items)) > 1)
    times = draw(st.none() | st.lists(st.integers(0, 9), min_size=len(pairs), max_size=len(pairs)))
    return Log(Interactions.from_ids(users, items, timestamp=times), None, ("log.csv",))


def pairs(part):
    if part is None:
        return []
    users, items = part.user_ids.ids, part.item_ids.ids
    return [(users[u], items[i]) for u, i in zip(part.user_index, part.item_index, strict=True)]


def split_of(log, **options):
    try:
        return make_split(log, DataOptions(**options))
    except DataError:  # too little data for this split: a sentence, not a wrong split
        assume(False)


SPLITS = st.sampled_from(["random", "leave-last", "time"])
FRACTIONS = st.sampled_from([0.0, 0.1, 0.3, 0.6])


@given(logs(), SPLITS, FRACTIONS, FRACTIONS, st.integers(0, 3))
def test_parts_partition_the_log(log, split, test_fraction, validation_fraction, seed):
    options = {"test_fraction": test_fraction, "validation_fraction": validation_fraction, "seed": seed}
    made = split_of(log, split=split, **options)
    parts = [pairs(made.train), pairs(made.validation), pairs(made.test)]
    together = [pair for part in parts for pair in part]
    assert len(set(together)) == len(together)
    left_out = set(pairs(log.interactions)) - set(together)
    assert set(together) <= set(pairs(log.interactions))
    users, items = {u for u, _ in parts[0]}, {i for _, i in parts[0]}
    assert all(u not in users or i not in items for u, i in left_out)
    assert bool(left_out) == bool(made.warnings)
    # the vocabularies are exactly train's
    assert users == set(made.train.user_ids.ids)
    assert items == set(made.train.item_ids.ids)
    if split == "random":
        assert not left_out
    again = split_of(log, split=split, **options)
    assert again.fingerprint() == made.fingerprint()
    assert again.rule == made.rule


@given(logs(), FRACTIONS.filter(bool))
def test_random_takes_a_share_of_each_user(log, fraction):
    made = split_of(log, split="random", test_fraction=fraction, validation_fraction=0)
    count = np.bincount(log.interactions.user_index)
    test = np.zeros_like(count)
    for user, _ in pairs(made.test):
        test[log.interactions.user_ids.row(user)] += 1
    assert (test <= np.minimum(np.floor(count * fraction + 0.5), count - 1)).all()


def test_random_depends_on_the_seed_and_the_test_not_on_validation():
    log = Log(Interactions.from_ids(np.repeat(range(20), 20), np.tile(range(20), 20)), None, ("log.csv",))
    first = make_split(log, DataOptions(split="random"))
    assert (len(first.train), len(first.validation), len(first.test)) == (280, 40, 80)
    assert "20 %" in first.rule
    assert "seed 0" in first.rule
    other = make_split(log, DataOptions(split="random", seed=1))
    assert set(pairs(first.test)) != set(pairs(other.test))
    without = make_split(log, DataOptions(split="random", validation_fraction=0))
    assert without.validation is None
    assert set(pairs(first.test)) == set(pairs(without.test))


def test_leave_last_goes_by_time_then_by_place():
    users, items = [1, 1, 1, 2, 2, 2, 3], ["a", "b", "c", "a", "b", "c", "c"]
    times = [30, 10, 20, 5, 5, 5, 1]
    options = DataOptions(split="leave-last")
    timed = make_split(Log(Interactions.from_ids(users, items, timestamp=times), None, ("x",)), options)
    assert pairs(timed.test) == [
        ("1", "a"),
        ("2", "c"),
    ]  # user 2's times are equal: the later place is the last
    assert pairs(timed.validation) == [("1", "c"), ("2", "b")]
    assert timed.warnings == ()
    untimed = make_split(Log(Interactions.from_ids(users, items), None, ("x",)), options)
    assert pairs(untimed.test) == [("1", "c"), ("2", "c")]
    assert "file order, there are no timestamps" in untimed.rule
    assert "by timestamp" in timed.rule


def test_time_cut():
    users, items = np.repeat(range(5), 4), np.tile(range(4), 5)
    log = Log(Interactions.from_ids(users, items, timestamp=np.arange(20) % 10), None, ("x",))
    made = make_split(log, DataOptions(split="time", test_fraction=0.3, validation_fraction=0))
    assert made.train.timestamp.max() == 6
    assert made.test.timestamp.min() == 7
    assert "from timestamp 7 on" in made.rule


def test_splits_that_cannot_be():
    log = Log(Interactions.from_ids([1, 2, 3], ["a", "b", "c"]), None, ("log.csv",))
    with pytest.raises(DataError, match=r"log\.csv has no timestamps.*--timestamp-column"):
        make_split(log, DataOptions(split="time"))
    with pytest.raises(DataError, match=r"log\.csv comes in one part.*--split random"):
        make_split(log, DataOptions(split="given"))
    same_time = Log(Interactions.from_ids([1, 2], ["a", "b"], timestamp=[5, 5]), None, ("log.csv",))
    with pytest.raises(DataError, match="leaves nothing to train on"):
        make_split(same_time, DataOptions(split="time"))
    a = Interactions.from_ids([1, 2], ["a", "b"])
    with pytest.raises(DataError, match="must share train's"):
        Split(a, None, Interactions.from_ids([2, 1], ["a", "b"]), "by hand")


@given(logs(distinct=False), st.sampled_from(["last", "first"]))
def test_one_of_each_pair_stays(log, keep):
    interactions = log.interactions
    kept = np.flatnonzero(distinct_pairs(interactions, keep))
    times = interactions.timestamp if interactions.timestamp is not None else np.zeros(len(interactions))
    best = {}
    for row, pair in enumerate(pairs(interactions)):
        key = (times[row], row)
        if pair not in best or (key > best[pair] if keep == "last" else key < best[pair]):
            best[pair] = key
    assert kept.tolist() == sorted(row for _, row in best.values())


@given(logs(), st.integers(2, 4))
def test_k_core_is_the_largest_stable_part(log, k):
    found = log.interactions.select(in_k_core(log.interactions, k))
    rows = pairs(log.interactions)
    while True:
        kept = [
            (u, i) for u, i in rows if sum(v == u for v, _ in rows) >= k and sum(j == i for _, j in rows) >= k
        ]
        if kept == rows:
            break
        rows = kept
    assert pairs(found) == rows


def test_filters_speak():
    users, items = [1, 1, 2, 2, 1], ["a", "b", "a", "b", "a"]
    log = Log(Interactions.from_ids(users, items, rating=[5, 4, 3, 2, 1]), None, ("log.csv",))
    assert pairs(apply_filters(log, DataOptions(min_rating=2)).interactions) == [
        ("1", "b"),
        ("2", "a"),
        ("2", "b"),
    ]
    first = apply_filters(log, DataOptions(min_rating=2, deduplicate="first"))
    assert len(first.interactions) == 4
    with pytest.raises(DataError, match=r"rated 6 or more \(the highest is 4\)"):
        apply_filters(log, DataOptions(min_rating=6))
    with pytest.raises(DataError, match=r"3 interactions each .*--k-core"):
        apply_filters(log, DataOptions(k_core=3))
    with pytest.raises(DataError, match=r"only one user \('1'\)"):
        apply_filters(log, DataOptions(min_rating=4, deduplicate="first"))
    with pytest.raises(DataError, match=r"log\.csv has no ratings"):
        apply_filters(Log(Interactions.from_ids(users, items), None, ("log.csv",)), DataOptions(min_rating=1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": "xml"},
        {"split": "odd"},
        {"deduplicate": "none"},
        {"test_fraction": 1},
        {"validation_fraction": -0.1},
        {"test_fraction": float("nan")},
        {"k_core": 0},
        {"k_core": 2.5},
        {"seed": -1},
        {"min_rating": "4"},
        {"separator": "::"},
        {"user_column": ""},
    ],
)
def test_options_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DataOptions(**wrong)


def test_options_survive_json():
    options = DataOptions(format="csv", min_rating=4, k_core=5, split="time", seed=3, user_column="who")
    assert DataOptions.from_json(options.to_json()) == options
    with pytest.raises(ConfigError, match="unknown data option 'colour'"):
        DataOptions.from_json({"colour": "red"})


def test_interactions_check_themselves():
    ids = Vocabulary(["a", "b"])
    good = Interactions(np.array([0, 1]), np.array([1, 0]), ids, ids)
    assert good.user_index.dtype == np.int32
    assert good.matrix().toarray().tolist() == [[0, 1], [1, 0]]
    for wrong, words in [
        ({"user_index": np.array([0, 2])}, "runs from 0 to 2, but there are 2"),
        ({"user_index": np.array([0])}, "item_index has 2 rows"),
        ({"user_index": np.array([0.0, 1.0])}, "give integers"),
        ({"item_ids": Vocabulary(["a", "a"])}, "same id twice"),
        ({"rating": np.array([1.0])}, "give 2 rows"),
        ({"rating": np.array([1.0, np.nan])}, "rating nan of interaction 1"),
        ({"titles": ["x"]}, "1 titles for 2 items"),
    ]:
        fields = {
            "user_index": np.array([0, 1]),
            "item_index": np.array([1, 0]),
            "user_ids": ids,
            "item_ids": ids,
        }
        with pytest.raises(DataError, match=words):
            Interactions(**{**fields, **wrong})


def test_fingerprint_changes_with_any_content():
    base = {"users": [1, 2], "items": ["a", "b"], "rating": [1, 2], "timestamp": [3, 4], "titles": {"a": "A"}}
    changes = [
        {},
        {"users": [1, 3]},
        {"items": ["b", "a"]},
        {"rating": [1, 3]},
        {"timestamp": [3, 5]},
        {"titles": {"b": "A"}},
        {"titles": None},
        {"rating": None},
    ]
    assert Interactions.from_ids(**base).fingerprint() == Interactions.from_ids(**base).fingerprint()
    assert len({Interactions.from_ids(**{**base, **change}).fingerprint() for change in changes}) == len(
        changes
    )
