"""Deltas: what they make, what they refuse, how large they are."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import pack
from sparsedevice.packing.delta import DeltaError, apply_delta, diff, patch
from sparsedevice.packing.matching import steps
from sparsedevice.runtime.core import CoreRecommender


def table(n: int = 2000, dim: int = 64, seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n, dim)) * (rng.random((n, dim)) < 0.1)
    return sp.csr_array(dense.astype(np.float32))


def ids(n: int) -> list[str]:
    return [f"item number {i}" for i in range(n)]


@pytest.fixture
def base(tmp_path):
    pack(tmp_path / "base.sd", table(), item_ids=ids(2000), titles=[f"Title {i}" for i in range(2000)])
    return tmp_path / "base.sd"


def write_new(path, change=5, added=7, removed=3):
    """The base with a few rows changed, a few new ones, and a few taken out."""
    dense = table().toarray()
    for row in range(change):
        column = np.flatnonzero(dense[100 * row + 50])[0]
        dense[100 * row + 50, column] *= -1
    rows = sp.csr_array(np.vstack((dense[removed:], table(added, seed=1).toarray())).astype(np.float32))
    n = 2000 - removed + added
    pack(path, rows, item_ids=ids(2000 + added)[removed:], titles=[f"Title {i + removed}" for i in range(n)])


def test_a_small_change_makes_a_small_delta(base, tmp_path):
    write_new(tmp_path / "new.sd")
    info = diff(base, tmp_path / "new.sd", tmp_path / "d.delta")
    assert (info.added, info.removed, info.changed) == (7, 3, 5)
    assert info.delta_bytes == (tmp_path / "d.delta").stat().st_size
    assert info.result_bytes == (tmp_path / "new.sd").stat().st_size
    assert info.delta_bytes < info.result_bytes / 10
    assert patch(base, tmp_path / "d.delta", tmp_path / "patched.sd") == info.result_bytes
    assert (tmp_path / "patched.sd").read_bytes() == (tmp_path / "new.sd").read_bytes()


def test_the_same_file_takes_next_to_nothing(base, tmp_path):
    info = diff(base, base, tmp_path / "d.delta")
    assert info.delta_bytes < 1000
    assert (info.added, info.removed, info.changed) == (0, 0, 0)


def test_patching_in_place_keeps_what_is_mapped(base, tmp_path):
    write_new(tmp_path / "new.sd")
    diff(base, tmp_path / "new.sd", tmp_path / "d.delta")
    core = CoreRecommender.open(base)
    before = core.recommend(history=["item number 9"]).items
    patch(base, tmp_path / "d.delta", base)
    assert core.recommend(history=["item number 9"]).items == before
    assert base.read_bytes() == (tmp_path / "new.sd").read_bytes()


def test_a_delta_is_never_larger_than_the_file(base, tmp_path, monkeypatch):
    write_new(tmp_path / "new.sd")
    monkeypatch.setattr(zlib, "compress", lambda data, _level: bytes(data) * 2)  # bytes that do not compress
    with pytest.raises(DeltaError, match="ship the file itself"):
        diff(base, tmp_path / "new.sd", tmp_path / "d.delta")
    assert not (tmp_path / "d.delta").exists()


def test_another_base_is_refused(base, tmp_path):
    write_new(tmp_path / "new.sd")
    diff(base, tmp_path / "new.sd", tmp_path / "d.delta")
    with pytest.raises(DeltaError, match="made for another file"):
        patch(tmp_path / "new.sd", tmp_path / "d.delta", tmp_path / "x.sd")
    assert not (tmp_path / "x.sd").exists()


def test_files_that_are_not_packed_are_refused(base, tmp_path):
    (tmp_path / "other").write_bytes(b"hello")
    with pytest.raises(PackedFileError):
        diff(base, tmp_path / "other", tmp_path / "d.delta")
    with pytest.raises(DeltaError, match="not a sparsedevice delta"):
        patch(base, tmp_path / "other", tmp_path / "x.sd")


def test_damaged_deltas_are_refused(base, tmp_path):
    write_new(tmp_path / "new.sd")
    diff(base, tmp_path / "new.sd", tmp_path / "d.delta")
    old, delta = base.read_bytes(), (tmp_path / "d.delta").read_bytes()
    new, refused = (tmp_path / "new.sd").read_bytes(), 0
    rng = random.Random(0)
    for length in (*range(0, 100, 7), len(delta) - 1):
        with pytest.raises(DeltaError):
            apply_delta(old, delta[:length])
    for _ in range(400):
        copy = bytearray(delta)
        copy[rng.randrange(len(copy))] ^= rng.randrange(1, 256)
        try:  # a few bits of a zlib stream mean nothing: what comes out is then the right file
            assert apply_delta(old, bytes(copy)) == new
        except DeltaError:
            refused += 1
    assert refused > 390
    with pytest.raises(DeltaError):
        apply_delta(old, delta + b"x")


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=20)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_steps_rebuild_the_new_bytes(old, edits):
    new = bytearray(old)
    for at, text in edits:
        new[at : at + len(text) // 2] = text
    a, b = np.frombuffer(old, np.uint8), np.frombuffer(bytes(new), np.uint8)
    rebuilt, end = b"", 0
    for step in steps(a, b, [(0, 0), (len(new) // 2, len(old) // 2)]):
        at = step.literal.stop
        assert step.literal.start == end
        source = a[step.source : step.source + step.length]
        rebuilt += b[step.literal].tobytes() + (source + (b[at : at + step.length] - source)).tobytes()
        end = at + step.length
    assert rebuilt == bytes(new)
