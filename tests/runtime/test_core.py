"""What only the C core has: batches, kernels by name, bytes in memory, many threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sparsedevice.errors import ConfigError, PackedFileError, UnknownIdError
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load
from sparsedevice.runtime.core import CoreRecommender
from tests.runtime.conformance import CASES, packed_case, write_case

HISTORIES = [
    [f"i{(7 * i + j) % 300}" for j in range(i % 9)] + (["nobody"] if i % 5 == 0 else []) for i in range(40)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_batch_is_the_same_as_one_by_one(case):
    core = CoreRecommender(packed_case(case))
    for exclude in ("seen", "none", ["i1", "who"]):
        together = core.recommend_batch(histories=HISTORIES, k=12, exclude=exclude)
        alone = [core.recommend(history=history, k=12, exclude=exclude) for history in HISTORIES]
        users = [f"u{i % 9}" for i in range(20)]
        together += core.recommend_batch(users=users, k=12, exclude=exclude)
        alone += [core.recommend(user=user, k=12, exclude=exclude) for user in users]
        for a, b in zip(together, alone, strict=True):
            assert (a.items, a.titles, a.unknown) == (b.items, b.titles, b.unknown)
            assert a.scores.tobytes() == b.scores.tobytes()
            assert a.rows.tobytes() == b.rows.tobytes()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_and_texts(case):
    data = packed_case(case)
    core, packed = CoreRecommender(data), PackedFile(data)
    asked = ["i3", "nobody", 7, "i299", "\ud800", "i3"]
    rows = core.rows(asked)
    assert rows.tolist() == packed.vocabulary.rows(asked).tolist()
    assert -1 in rows
    known = rows[rows >= 0]
    ids, titles = core.texts(known)
    assert ids == [packed.vocabulary.ids[int(row)] for row in known]
    assert titles == (None if packed.titles is None else [packed.titles[int(row)] for row in known])
    users = packed.user_vocabulary
    for id_ in ("u3", "nobody", 7, ""):
        assert core.user_row(id_) == (-1 if users is None else users.rows([id_])[0])
    for row in (-1, packed.n_items):
        with pytest.raises(IndexError, match=f"row {row} of {packed.n_items} items"):
            core.texts(np.array([row], np.int32))


def test_batch_refusals():
    core = CoreRecommender(packed_case(CASES[0]))
    assert core.recommend_batch(histories=[]) == []
    with pytest.raises(ConfigError, match="either histories or users"):
        core.recommend_batch()
    with pytest.raises(ConfigError, match="k is 0"):
        core.recommend_batch(histories=[["i1"]], k=0)
    with pytest.raises(ConfigError, match="give a list of ids"):
        core.recommend_batch(histories=["i1"])
    with pytest.raises(UnknownIdError, match="unknown user 'x'"):
        core.recommend_batch(users=["u1", "x"])


def test_kernels_by_name():
    core = CoreRecommender(packed_case(CASES[0]))
    assert core.kernel == core.kernels[-1], "the fastest one is taken"
    assert core.kernels[0] == "scalar"
    core.kernel = "scalar"
    assert core.kernel == "scalar"
    with pytest.raises(ConfigError, match="'fpga' does not run"):
        core.kernel = "fpga"


def test_load(tmp_path):
    path = write_case(tmp_path / "x.sd", CASES[0])
    assert load(path).recommend(history=["i1"]).items == load(path, "numpy").recommend(history=["i1"]).items
    with pytest.raises(ConfigError, match="use core or numpy"):
        load(path, "gpu")  # type: ignore[arg-type]
    (tmp_path / "empty").touch()
    with pytest.raises(PackedFileError, match="is empty"):
        load(tmp_path / "empty")


def test_many_threads_use_one_object():
    core = CoreRecommender(packed_case(CASES[2]))
    wanted = [core.recommend(history=history, k=30).items for history in HISTORIES]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for i, history in enumerate(HISTORIES):
                if core.recommend(history=history, k=30).items != wanted[i]:
                    wrong.append(i)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_list_that_changes_while_it_is_read():
    """str() of an id may run any Python code."""
    core = CoreRecommender(packed_case(CASES[2]))
    history: list[object] = []

    class Shrinks:
        def __str__(self) -> str:
            history.clear()
            return "i1"

    history += [Shrinks(), *[f"i{i}" for i in range(40)]]
    assert core.recommend(history=history, k=3).unknown == []  # type: ignore[arg-type]
