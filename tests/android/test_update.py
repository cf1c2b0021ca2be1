"""Deltas in the Java library: the bytes that Python's patch gives, or an exception and nothing written."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.errors import PackedFileError, SparseDeviceError
from sparsedevice.packing import diff, pack, patch
from tests.android.jvm import JvmRecommender
from tests.packing.small import code, rising, serial, write_small
from tests.packing.test_delta import FORMS, refreshed, table, write


def update(jvm, base: Path, delta: Path, out: Path) -> bytes:
    jvm.ask("update", base=str(base), delta=str(delta), out=str(out))
    return out.read_bytes()


def pairs(tmp: Path):
    """Files of every form and size, and what becomes of them."""
    for i, (form, other) in enumerate(product(FORMS, FORMS)):
        dims = ((16, 16), (16, 20), (300, 300))[i % 3]
        sizes = (3 + 11 * i % 80, 1 + 17 * i % 80)
        for j, (which, n) in enumerate(zip((form, other), sizes, strict=True)):
            rest = bool(i & 1 << j)
            write(
                tmp / f"{i}-{j}.sd", 2 * i + j * (i % 2), which, n=n, dim=dims[j], rest=rest, users=i * j % 7
            )
        yield tmp / f"{i}-0.sd", tmp / f"{i}-1.sd"


def test_any_two_files(jvm, tmp_path):
    deltas = 0
    for old, new in pairs(tmp_path):
        deltas += diff(old, new, tmp_path / "delta")["kind"] == "delta"
        patch(old, tmp_path / "delta", tmp_path / "python.sd")
        assert update(jvm, old, tmp_path / "delta", tmp_path / "java.sd") == (
            (tmp_path / "python.sd").read_bytes()
        )
    assert deltas >= 10


@pytest.mark.parametrize(
    "ids", [str, "k{:04x}".format, code, rising, serial, "item number {}".format, "{}".format]
)
def test_ids_of_every_coding(jvm, ids, tmp_path):
    """Numbers, columns, columns in blocks, text; then numbers that become text."""
    rows = table(np.random.default_rng(3), 400, 16, 6)
    for i, name in enumerate(("old", "new")):
        kept = np.arange(20 * i, 380 + 20 * i)
        names = [ids(int(j) * 37 % 4001) for j in kept]
        if i and ids == "{}".format:
            names[-1] = "one that is no number"
        pack(tmp_path / name, sp.csr_array(rows[kept]), item_ids=names, titles=["T" + n for n in names])
    assert diff(tmp_path / "old", tmp_path / "new", tmp_path / "delta")["kind"] == "delta"
    assert update(jvm, tmp_path / "old", tmp_path / "delta", tmp_path / "out.sd") == (
        (tmp_path / "new").read_bytes()
    )


@pytest.mark.parametrize("form", ["int8", "int4", "f16", "f32"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_refreshed_model_in_place(jvm, form, similarity, tmp_path):
    old, new = refreshed(tmp_path, n=700, form=form, similarity=similarity)
    assert diff(old, new, tmp_path / "delta")["kind"] == "delta"
    model = JvmRecommender(jvm, old, "JAVA")
    before = model.recommend(history=["item-70", "item-140"], k=5)
    assert update(jvm, old, tmp_path / "delta", old) == new.read_bytes()
    again = model.recommend(history=["item-70", "item-140"], k=5)
    assert again.items == before.items, "who has the old model open keeps it"
    with pytest.raises(PackedFileError, match="fetch the delta for this model, or the full model") as refused:
        update(jvm, old, tmp_path / "delta", old)
    assert refused.value.promise == "base"
    assert old.read_bytes() == new.read_bytes()


def test_native_engine_takes_the_updated_model(jni, tmp_path):
    old, new = refreshed(tmp_path, n=300)
    diff(old, new, tmp_path / "delta")
    update(jni, old, tmp_path / "delta", tmp_path / "out.sd")
    assert JvmRecommender(jni, tmp_path / "out.sd", "NATIVE").recommend(history=["item-140"], k=3).items


def test_a_delta_carries_the_tower(jvm, tmp_path):
    for name, tower in (("old.sd", False), ("new.sd", True)):
        write_small(tmp_path / name, tower=tower)
    write_small(tmp_path / "coarse.sd", tower=True, values="int4")
    for old, new in (("old", "new"), ("new", "coarse")):
        assert diff(tmp_path / f"{old}.sd", tmp_path / f"{new}.sd", tmp_path / "delta")["kind"] == "delta"
        result = update(jvm, tmp_path / f"{old}.sd", tmp_path / "delta", tmp_path / "out.sd")
        assert result == (tmp_path / f"{new}.sd").read_bytes()


def test_whole_models(jvm, tmp_path):
    write_small(tmp_path / "old.sd")
    write_small(tmp_path / "new.sd", values="int4")
    assert update(jvm, tmp_path / "old.sd", tmp_path / "new.sd", tmp_path / "old.sd") == (
        (tmp_path / "new.sd").read_bytes()
    )
    damaged = (tmp_path / "new.sd").read_bytes()
    (tmp_path / "bad.sd").write_bytes(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    with pytest.raises(PackedFileError) as refused:
        update(jvm, tmp_path / "old.sd", tmp_path / "bad.sd", tmp_path / "out.sd")
    assert refused.value.promise == "checksum"
    assert not (tmp_path / "out.sd").exists()


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("magic", lambda data: b"x" + data[1:]),
        ("truncated", lambda data: data[:95]),
        ("truncated", lambda data: data[:0]),
        ("version", lambda data: data[:8] + b"\x02" + data[9:]),
        ("checksum", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    ],
)
def test_damaged_deltas(jvm, promise, damage, tmp_path):
    old, new = refreshed(tmp_path, n=60)
    diff(old, new, tmp_path / "delta")
    (tmp_path / "delta").write_bytes(damage((tmp_path / "delta").read_bytes()))
    with pytest.raises(PackedFileError) as refused:
        update(jvm, old, tmp_path / "delta", tmp_path / "out.sd")
    assert refused.value.promise == promise
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("form", ["int8", "int4", "f16"])
def test_flipped_bodies_give_no_file(jvm, form, tmp_path):
    old, new = refreshed(tmp_path, n=150, form=form)
    assert diff(old, new, tmp_path / "delta")["kind"] == "delta"
    places = {"base": str(old), "delta": str(tmp_path / "delta"), "out": str(tmp_path / "out.sd")}
    answer = jvm.ask("deltas", **places, wanted=str(new), n=400, seed=7)
    assert answer["refused"] + answer["applied"] == 400
    assert answer["refused"] > 360, "few bits mean nothing: the unused ones of flags, the high ones of int4"


def test_places_that_are_not_there(jvm, tmp_path):
    write_small(tmp_path / "a.sd")
    diff(tmp_path / "a.sd", tmp_path / "a.sd", tmp_path / "delta")
    with pytest.raises(SparseDeviceError, match=r"cannot map .*nothing\.sd"):
        update(jvm, tmp_path / "nothing.sd", tmp_path / "delta", tmp_path / "out.sd")
    with pytest.raises(SparseDeviceError, match=r"cannot write .*; make room, or choose another place"):
        update(jvm, tmp_path / "a.sd", tmp_path / "delta", tmp_path / "nowhere" / "out.sd")
