"""Compact files in the Java library: the bytes of Python's expand, or an exception and nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.errors import PackedFileError, SparseDeviceError
from sparsedevice.packing import compact, diff, expand, pack
from sparsedevice.packing.compact import expand_bytes
from sparsedevice.runtime.reference import NumpyRecommender
from tests.android.jvm import Jvm, JvmRecommender
from tests.packing.small import write_small
from tests.packing.test_compact import HEADER, parts, sealed, table
from tests.packing.test_delta import FORMS, write
from tests.packing.test_golden import GOLDEN


def comes_back(jvm: Jvm, packed: Path) -> int:
    """Whether the file was coded, which some small ones are too small for."""
    coded = packed.with_suffix(".sdz")
    kind = compact(packed, coded)["kind"]
    jvm.ask("expand", compact=str(coded), out=str(packed) + ".java")
    assert Path(f"{packed}.java").read_bytes() == packed.read_bytes(), packed.name
    return kind == "compact"


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_every_section_comes_back(jvm, similarity, tmp_path):
    for values, layout in [*FORMS, ("int8", "wide"), ("int4", "wide")]:
        for tower in (False, True):
            path = tmp_path / f"{values}-{layout}-{tower}.sd"
            write_small(path, values=values, layout=layout, similarity=similarity, tower=tower)
            assert comes_back(jvm, path)
    assert not list(tmp_path.glob("*.part"))


def test_any_file(jvm, tmp_path):
    coded = 0
    for i, (form, dim) in enumerate((form, dim) for form in FORMS for dim in (16, 300)):
        rest, users = bool(i % 3), 5 * i % 7
        for n in (1, 7 + 13 * i % 80):
            write(tmp_path / f"{i}-{n}.sd", i, form, n=n, dim=dim, rest=rest, users=users)
            coded += comes_back(jvm, tmp_path / f"{i}-{n}.sd")
    assert coded >= 12


@pytest.mark.parametrize("dim", [1, 2, 256, 257, 4096])
def test_rows_of_any_width_and_length(jvm, dim, tmp_path):
    """Even and uneven rows, and empty ones; tables and low bits of every kind."""
    for least, most in ((0, min(dim, 12)), (min(dim, 5), min(dim, 5)), (0, min(dim, 300))):
        for values, layout in FORMS[:1] if most > 12 else FORMS:
            path = tmp_path / f"{values}-{layout}-{most}.sd"
            rows = table(np.random.default_rng(dim + most), 120, dim, least, most)
            pack(path, rows, item_ids=[f"x{i}" for i in range(120)], values=values, layout=layout)
            assert comes_back(jvm, path)


@pytest.mark.parametrize(
    "ids",
    [
        lambda i: str(i * 37 % 4001),
        lambda i: str(10**18 - 1 - 10**14 * i),
        lambda i: f"{i * 37 % 4001:04x}",
        lambda i: f"item number {i}",
        lambda i: "é日😀"[i % 3] * (i % 90) + str(i),
        lambda i: "a" * 300 + str(i),
    ],
)
def test_ids_of_every_coding(jvm, ids, tmp_path):
    n = 200
    rows = table(np.random.default_rng(3), n, 16, 0, 6)
    names = [ids(i) for i in range(n)]
    users = {"users": sp.csr_array(rows[:9]), "user_ids": names[:9]}
    titles = ["" if i % 7 == 0 else f"Title of {name}" for i, name in enumerate(names)]
    pack(tmp_path / "a.sd", rows, item_ids=names, titles=titles, **users)
    assert comes_back(jvm, tmp_path / "a.sd")


def test_golden_file_and_packed_files(jvm, tmp_path):
    expand(GOLDEN / "v1.sdz", tmp_path / "python.sd")
    for compact_file in (GOLDEN / "v1.sdz", tmp_path / "python.sd"):
        jvm.ask("expand", compact=str(compact_file), out=str(tmp_path / "java.sd"))
        assert (tmp_path / "java.sd").read_bytes() == (tmp_path / "python.sd").read_bytes()


def claimed(**sizes: int):
    return lambda coded, body, streams: sealed(coded, body, streams, **sizes)


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("magic", lambda coded, *_: b"x" + coded[1:]),
        ("magic", lambda coded, *_: coded[:4] + b"\n" + coded[5:]),
        ("version", lambda coded, *_: coded[:8] + b"\x02" + coded[9:]),
        ("truncated", lambda coded, *_: coded[: HEADER - 1]),
        ("truncated", lambda coded, *_: coded[:3]),
        ("checksum", lambda coded, *_: coded[:-1]),
        ("checksum", lambda coded, *_: coded[:-1] + b"\x01"),
        ("lengths", claimed(packed=2**63)),
        ("lengths", claimed(packed=10**9)),
        ("lengths", claimed(stream=2**63)),
        ("body", claimed(packed=10)),
        ("body", claimed(body=2**63)),
        ("body", claimed(body=10**8)),
        ("body", lambda coded, body, streams: sealed(coded, body + b"\0", streams)),
        ("body", lambda coded, body, streams: sealed(coded, body, streams + b"\0")),
        ("body", lambda coded, body, streams: sealed(coded, body, streams[:-1] + b"\x01")),
        ("body", lambda coded, body, streams: sealed(coded, body[:12] + b"\x07" + body[13:], streams)),
        ("result", lambda coded, body, streams: sealed(coded, body[:-1] + b"\x01", streams)),
    ],
)
def test_each_promise(jvm, promise, damage, tmp_path):
    write_small(tmp_path / "a.sd")
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    damaged = damage(coded, *parts(coded))
    with pytest.raises(PackedFileError) as python:
        expand_bytes(damaged)
    (tmp_path / "bad.sdz").write_bytes(damaged)
    with pytest.raises(PackedFileError, match=r"bad\.sdz: ") as java:
        jvm.ask("expand", compact=str(tmp_path / "bad.sdz"), out=str(tmp_path / "out.sd"))
    assert python.value.promise == java.value.promise == promise
    assert not list(tmp_path.glob("out*"))


def test_code_lengths_and_streams(jvm, tmp_path):
    """One symbol, so that the table stands where the test looks for it."""
    pack(
        tmp_path / "a.sd",
        sp.csr_array(np.ones((1000, 1), np.float32)),
        item_ids=[f"x{i}" for i in range(1000)],
    )
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    coded = (tmp_path / "a.sdz").read_bytes()
    body, streams = parts(coded)
    table_at = 16 + 4 + 2 + 4 + 4
    assert body[table_at : table_at + 5] == b"\x0f" + bytes(4), "the only symbol, then sizes of streams"
    wrong_code = body[:table_at] + b"\x03" + body[table_at + 1 :]
    long_code = body[:table_at] + b"\x0a" + body[table_at + 1 :]
    longer = body[: table_at + 1] + b"\x01" + body[table_at + 2 :]
    many = (10**8).to_bytes(4, "little")
    for promise, parts_of_it in (
        ("streams", (wrong_code, streams)),
        ("streams", (long_code, streams)),
        ("streams", (longer, b"\0" + streams)),
        ("body", (body[:20] + (4096).to_bytes(2, "little") + body[22:], streams)),
        ("body", (many + body[4:22] + many + body[26:], streams)),
        ("body", (body[:22] + (1001).to_bytes(4, "little") + body[26:], streams)),
    ):
        (tmp_path / "bad.sdz").write_bytes(sealed(coded, *parts_of_it))
        with pytest.raises(PackedFileError) as refused:
            jvm.ask("expand", compact=str(tmp_path / "bad.sdz"), out=str(tmp_path / "out.sd"))
        assert refused.value.promise == promise
        assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(("values", "dim"), [("int8", 64), ("int4", 64), ("f16", 300)])
def test_damaged_files_give_no_other_file(jvm, values, dim, tmp_path):
    """Cut at many lengths, flipped, and with damaged parts whose checksums are made right."""
    rng = np.random.default_rng(4)
    pack(
        tmp_path / "a.sd",
        table(rng, 120, dim, 2, 8),
        item_ids=[f"id {i}" for i in range(120)],
        titles=["Same" if i % 3 else f"Größe {i}" for i in range(120)],
        users=table(rng, 9, dim, 0, 8),
        user_ids=[str(i) for i in range(9)],
        seen=sp.csr_array(rng.random((9, 120)) < 0.1),
        values=values,
    )
    compact(tmp_path / "a.sd", tmp_path / "a.sdz")
    places = {"compact": tmp_path / "a.sdz", "wanted": tmp_path / "a.sd", "out": tmp_path / "out.sd"}
    paths = {name: str(path) for name, path in places.items()}
    answer = jvm.ask("compacts", **paths, n=400, seed=7, step=9)
    assert answer["refused"] + answer["expanded"] == 400 + -(-(tmp_path / "a.sdz").stat().st_size // 9)
    assert answer["expanded"] < 40, "few bits mean nothing: those that fill up streams, unused codes"
    assert set(answer["promises"]) >= {"truncated", "checksum", "body", "streams", "result"}


@pytest.fixture
def small(tmp_path) -> Path:
    """A compact file, alone in a folder, and the packed one beside that folder."""
    write_small(tmp_path / "small.sd")
    (tmp_path / "app").mkdir()
    compact(tmp_path / "small.sd", tmp_path / "app" / "model.sdz")
    return tmp_path / "app" / "model.sdz"


def kept(folder: Path) -> dict[str, tuple[int, int]]:
    """Files that were expanded, and what tells whether one was written anew."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*-*")}


def test_a_compact_file_opens_and_is_expanded_once(engine, small):
    reference = NumpyRecommender.open(small.parents[1] / "small.sd")
    models = [JvmRecommender(engine[0], small, engine[1]) for _ in range(2)]
    first = kept(small.parent)
    assert len(first) == 1
    models.append(JvmRecommender(engine[0], small, engine[1], verify=False))
    assert kept(small.parent) == first
    assert sorted(path.name for path in small.parent.iterdir()) == sorted(["model.sdz", *first])
    assert (small.parent / next(iter(first))).read_bytes() == (small.parents[1] / "small.sd").read_bytes()
    wanted = reference.recommend(history=["item-1", "item-9"], k=7)
    for model in models:
        answer = model.recommend(history=["item-1", "item-9"], k=7)
        assert (answer.items, answer.titles) == (wanted.items, wanted.titles)
        assert (answer.scores == wanted.scores).all()


def test_a_compact_asset_opens_and_is_expanded_once(engine, small, tmp_path):
    archive, files, data = tmp_path / "app.apk", tmp_path / "files", small.read_bytes()
    files.mkdir()
    archive.write_bytes(b"x" * 4100 + data + b"tail")
    place = {"asset": "a/model.sdz", "serves": "a/model.sdz", "start": 4100, "length": len(data)}
    for _ in range(2):
        model = JvmRecommender(engine[0], archive, engine[1], files=str(files), **place)
        assert model.ask("about")["bytes"] == (tmp_path / "small.sd").stat().st_size
        first = kept(files)
        assert [name[: len("a_model.sdz-")] for name in first] == ["a_model.sdz-"]
    assert len(list(files.iterdir())) == 1
    assert kept(files) == first
    with pytest.raises(SparseDeviceError, match=r"cannot write .*a_model.sdz-.*make room"):
        JvmRecommender(engine[0], archive, engine[1], files=str(tmp_path / "nowhere"), **place)


def test_another_version_takes_the_place_of_the_expanded_one(jvm, small, tmp_path):
    old = JvmRecommender(jvm, small, "JAVA")
    before = kept(small.parent)
    (small.parent / "model.sdz-of-somebody-else").write_bytes(b"")
    write_small(tmp_path / "next.sd", similarity="dot")
    compact(tmp_path / "next.sd", tmp_path / "next.sdz")
    (tmp_path / "next.sdz").replace(small)
    new = JvmRecommender(jvm, small, "JAVA")
    now = kept(small.parent)
    assert len(now) == 2
    assert set(now) & set(before) == set()
    assert "model.sdz-of-somebody-else" in now
    answers = [model.recommend(history=["item-1"], k=5) for model in (old, new)]
    for answer, path in zip(answers, (tmp_path / "small.sd", tmp_path / "next.sd"), strict=True):
        assert answer.items == NumpyRecommender.open(path).recommend(history=["item-1"], k=5).items


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:-1]])
def test_a_damaged_expansion_is_made_anew(jvm, small, damage):
    JvmRecommender(jvm, small, "JAVA")
    path = small.parent / next(iter(kept(small.parent)))
    data = path.read_bytes()
    path.write_bytes(damage(data))
    JvmRecommender(jvm, small, "JAVA")
    assert path.read_bytes() == data


def test_a_damaged_compact_file_does_not_open(engine, small):
    data = small.read_bytes()
    for promise, damaged in (("truncated", data[:50]), ("truncated", data[:4]), ("checksum", data[:-1])):
        small.write_bytes(damaged)
        with pytest.raises(PackedFileError, match=r"model\.sdz: ") as refused:
            JvmRecommender(engine[0], small, engine[1])
        assert refused.value.promise == promise
    assert not kept(small.parent)


def test_an_update_takes_a_compact_file(jvm, small, tmp_path):
    """As the update, where diff sent it, and as the base of a delta."""
    write_small(tmp_path / "next.sd", values="int4")
    said = diff(tmp_path / "small.sd", tmp_path / "next.sd", tmp_path / "delta")
    assert said["kind"] == "delta"
    for base, update, out in (
        ("next.sd", "app/model.sdz", "small.sd"),
        ("app/model.sdz", "delta", "next.sd"),
    ):
        wanted = (tmp_path / out).read_bytes()
        result = tmp_path / "out" / "model.sd"
        result.parent.mkdir(exist_ok=True)
        jvm.ask("update", base=str(tmp_path / base), delta=str(tmp_path / update), out=str(result))
        assert result.read_bytes() == wanted
        assert list(result.parent.iterdir()) == [result]
    assert not kept(small.parent)
    (tmp_path / "bad.sdz").write_bytes(small.read_bytes()[:-1])
    with pytest.raises(PackedFileError, match=r"delta: the model to be changed: .*checksum"):
        jvm.ask("update", base=str(tmp_path / "bad.sdz"), delta=str(tmp_path / "delta"), out=str(result))
    jvm.ask("expand", compact=str(small), out=str(small))
    assert small.read_bytes() == (tmp_path / "small.sd").read_bytes()
    assert list(small.parent.iterdir()) == [small]
