"""The Java library's own promises: mapping, search, errors, threads, allocation, damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.errors import ConfigError, PackedFileError, SparseDeviceError, UnknownIdError
from sparsedevice.packing import PackedFile, pack
from sparsedevice.runtime.reference import NumpyRecommender
from tests.android.jvm import JvmRecommender
from tests.packing.small import write_small
from tests.packing.test_golden import ANSWERS, GOLDEN, answers
from tests.packing.test_promises import DAMAGED

FORMS = [
    ("int8", "columns"),
    ("int8", "rising"),
    ("int8", "sliced"),
    ("int4", "sliced"),
    ("int8", "csr"),
    ("int4", "csr"),
    ("f32", "csr"),
    ("f16", "csr"),
]


@pytest.fixture
def small(tmp_path) -> Path:
    write_small(tmp_path / "small.sd")
    return tmp_path / "small.sd"


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_golden_files(engine, name):
    assert answers(JvmRecommender(engine[0], GOLDEN / name, engine[1]), name) == ANSWERS[name]


@pytest.mark.parametrize("start", [0, 4, 4096, 4100, 16384])
def test_asset_is_mapped_wherever_it_lies_in_the_package(engine, small, tmp_path, start):
    data = small.read_bytes()
    archive = tmp_path / "app.apk"
    archive.write_bytes(b"x" * start + data + b"tail")
    place = {"asset": "model.sd", "start": start, "length": len(data)}
    model = JvmRecommender(engine[0], archive, engine[1], **place)
    assert model.recommend(history=["item-1"], k=5).items == (
        NumpyRecommender.open(small).recommend(history=["item-1"], k=5).items
    )
    with pytest.raises(SparseDeviceError, match="noCompress"):
        JvmRecommender(engine[0], archive, engine[1], **{**place, "asset": "other.sd"})


def test_about(engine, small):
    packed = PackedFile.open(small)
    about = JvmRecommender(engine[0], small, engine[1]).ask("about")
    assert about == {
        "metadata": packed.metadata,
        "items": packed.n_items,
        "users": packed.n_users,
        "dim": packed.dim,
        "bytes": small.stat().st_size,
        "titles": True,
        "first": packed.vocabulary.ids[0],
        "contains": True,
    }


def test_titles(engine, small):
    reference = PackedFile.open(small)
    model = JvmRecommender(engine[0], small, engine[1])
    items = [f"item-{i}" for i in range(10)]
    wanted = [reference.titles[reference.vocabulary.row(item)] for item in items]
    assert model.ask("titles", items=items)["titles"] == wanted
    with pytest.raises(UnknownIdError, match="unknown item 'nobody'"):
        model.ask("titles", items=["nobody"])


def test_search(jvm, tmp_path):
    titles = [
        "The Matrix (1999)",
        "Étoile",
        "A Star Is Born",
        "Star Wars",
        "",
        "MATRIX Reloaded, The",
        "Restart",
    ]
    path = tmp_path / "titles.sd"
    rows = sp.csr_array(np.ones((len(titles), 2), np.float32))
    pack(path, rows, item_ids=[f"i{i}" for i in range(len(titles))], titles=titles)
    model = JvmRecommender(jvm, path, "JAVA")

    def search(prefix: str, k: int = 10) -> list[str]:
        return model.ask("search", prefix=prefix, k=k)["titles"]

    assert search("matrix") == ["MATRIX Reloaded, The", "The Matrix (1999)"], (
        "a title that begins so comes first"
    )
    assert search("STAR") == ["Star Wars", "A Star Is Born"], "not Restart: the word must begin so"
    assert search("star w") == ["Star Wars"]
    assert search("étoi") == search("ÉTOI") == ["Étoile"]
    assert search("1999") == ["The Matrix (1999)"]
    assert search("nothing") == []
    assert search("", 3) == titles[:3]
    assert search("the", 1) == ["The Matrix (1999)"]
    with pytest.raises(ConfigError, match="k is 0"):
        search("the", 0)


def test_search_without_titles_looks_at_ids(jvm, tmp_path):
    path = tmp_path / "ids.sd"
    pack(path, sp.csr_array(np.eye(3, dtype=np.float32)), item_ids=["ab", "cd", "ae"])
    assert JvmRecommender(jvm, path, "JAVA").ask("search", prefix="A", k=9)["items"] == ["ab", "ae"]


def test_ids_of_every_kind_are_found(engine, tmp_path):
    ids = ["", "a", "é", "日本語", "😀", "a b", "\x00", "�", "x" * 5000]
    path = tmp_path / "ids.sd"
    pack(path, sp.csr_array(np.eye(len(ids), dtype=np.float32)), item_ids=ids)
    model = JvmRecommender(engine[0], path, engine[1])
    for id_ in ids:
        assert model.recommend(history=[id_], exclude="none", k=1).items == [id_]
    assert model.recommend(history=["\ud83d", "?"], k=1).unknown == ["\ud83d", "?"], "half a pair is no id"


def test_strings_of_any_length_and_number(engine, tmp_path):
    """More than the core writes at once, and single ones that are longer than that."""
    path, n = tmp_path / "long.sd", 600
    titles = ["é" * (37 * i % 400) if i % 100 else "x" * 40_000 for i in range(n)]
    ids = [f"{i}{'-' * (i % 90)}" for i in range(n)]
    pack(path, sp.csr_array(np.ones((n, 4), np.float32)), item_ids=ids, titles=titles)
    model = JvmRecommender(engine[0], path, engine[1])
    expected = NumpyRecommender.open(path)
    for k in (1, 2, n):
        got, wanted = (one.recommend(history=["1-"], k=k) for one in (model, expected))
        assert got.items == wanted.items
        assert got.titles == wanted.titles


def test_closed(engine, small):
    model = JvmRecommender(engine[0], small, engine[1])
    model.ask("close")
    for call in (
        {"call": "recommend", "history": [], "k": 1},
        {"call": "titles", "items": []},
        {"call": "about"},
    ):
        with pytest.raises(SparseDeviceError, match="closed; open the model again"):
            model.ask(**call)
    model.ask("close")


def test_threads_agree_and_survive_a_close(engine, small):
    model = JvmRecommender(engine[0], small, engine[1])
    answer = model.ask("threads")
    assert answer["equal"] == answer["asked"]
    assert answer["closed"] == answer["threads"]


def test_a_query_allocates_its_result_only(engine, tmp_path):
    allocated = []
    for n in (200, 20_000):
        path = tmp_path / f"{n}.sd"
        rng = np.random.default_rng(0)
        columns = np.sort(rng.integers(0, 32, (n, 2)) * 2 + [0, 1], axis=1).astype(np.int32).ravel()
        table = (rng.normal(size=2 * n).astype(np.float32), columns, 2 * np.arange(n + 1))
        pack(path, sp.csr_array(table, shape=(n, 64)), item_ids=[f"{i:05}" for i in range(n)])
        model = JvmRecommender(engine[0], path, engine[1])
        histories = [["00001", "00002"], ["00003"]]
        answer = model.ask("bench", histories=histories, k=20, n=200, warmup=200)
        allocated.append(answer["allocated"] / 200)
    # 20 items of an object and a string each, and the list: nothing that grows with the table.
    # A few hundred bytes in 200 queries are the virtual machine's own, when it compiles a method anew.
    assert max(allocated) < 20 * 100 + 200
    assert abs(allocated[0] - allocated[1]) < 8


def test_files_that_are_not_there(engine, tmp_path):
    with pytest.raises(SparseDeviceError, match="cannot map"):
        JvmRecommender(engine[0], tmp_path / "nothing.sd", engine[1])
    with pytest.raises(SparseDeviceError, match="cannot map"):
        JvmRecommender(engine[0], tmp_path, engine[1])


def test_native_where_no_library_loads(jvm, small):
    with pytest.raises(SparseDeviceError, match="ask for AUTO to fall back to Java"):
        JvmRecommender(jvm, small, "NATIVE")
    assert JvmRecommender(jvm, small, "AUTO").engine == "java"


@pytest.mark.parametrize(("promise", "values", "layout", "damage"), DAMAGED)
def test_damaged_file_is_refused(engine, promise, values, layout, damage, tmp_path):
    path = tmp_path / "damaged.sd"
    write_small(path, values=values, layout=layout)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PackedFileError) as refused:
        JvmRecommender(engine[0], path, engine[1])
    assert refused.value.promise == promise
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(("values", "layout"), FORMS)
def test_flipped_and_truncated_files_never_crash(engine, values, layout, tmp_path):
    path = tmp_path / "small.sd"
    write_small(path, values=values, layout=layout)
    question = {"path": str(path), "engine": engine[1], "n": 1000, "seed": 5}
    verified = engine[0].ask("flips", **question)
    assert verified == {"opened": 0, "refused": 1000}
    # Without verification what opens must answer, or throw an exception of the library.
    unverified = engine[0].ask("flips", **question, verify=False, mend=True)
    assert unverified["opened"] > 300
    assert unverified["opened"] + unverified["refused"] == 1000


def test_the_harness_reads_what_the_tests_write(jvm, small):
    """Text of every kind crosses the line between Python and Java."""
    model = JvmRecommender(jvm, small, "JAVA")
    odd = ['"', "\\", "\n", "é", "😀", "\u2028", ", ]}"]
    assert model.recommend(history=odd, k=1).unknown == odd
    assert json.loads(json.dumps(odd)) == odd
