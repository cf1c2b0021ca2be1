"""Deltas: what they turn into what, how small they are, and that a damaged one gives no file."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.errors import PackedFileError, SparseDeviceError
from sparsedevice.packing import FoldIn, compact, diff, expand, pack, patch
from sparsedevice.packing.delta import apply_delta
from sparsedevice.packing.format import Kind, decode_head
from tests.packing.small import patched, with_header_checksum, write_small

FORMS = [
    ("int8", "sliced"),
    ("int4", "sliced"),
    ("int8", "csr"),
    ("int4", "csr"),
    ("f32", "csr"),
    ("f16", "csr"),
]
HEADER = 96


def table(rng: np.random.Generator, n: int, dim: int, most: int) -> sp.csr_array:
    """Random sparse rows of 0 … ``most`` entries."""
    lengths = rng.integers(0, most + 1, n)
    columns = np.concatenate([np.sort(rng.choice(dim, k, replace=False)) for k in lengths] or [[]])
    values = rng.normal(size=len(columns)).astype(np.float32)
    return sp.csr_array((values, columns, np.concatenate(([0], np.cumsum(lengths)))), shape=(n, dim))


def write(
    path: Path, seed: int, form: tuple[str, str], *, n: int, dim: int = 16, rest: bool = True, users: int = 4
):
    """A file whose rows come from ``seed``, with ids of which other seeds have some too."""
    rng = np.random.default_rng(seed)
    ids = [f"i{i}" for i in rng.choice(2 * n, n, replace=False)]
    arguments = {}
    if users:
        seen = sp.csr_array(rng.random((users, n)) < 0.3)
        arguments = {
            "users": table(rng, users, dim, 5),
            "user_ids": [f"u{i}" for i in rng.permutation(users)],
        }
        arguments |= {"seen": seen} if rest else {}
    if rest:
        arguments |= {
            "titles": [f"Größe {i}" if rng.random() < 0.7 else "" for i in ids],
            "fold_in": FoldIn(rng.random(n).astype(np.float32), rng.random((dim, dim)).astype(np.float32)),
            "metadata": {"seed": str(seed)},
        }
    similarity = ("cosine", "dot")[seed % 2]
    pack(
        path,
        table(rng, n, dim, 6),
        item_ids=ids,
        values=form[0],
        layout=form[1],
        similarity=similarity,
        **arguments,
    )
    return path


def round_trip(tmp: Path, old: Path, new: Path) -> dict:
    said = diff(old, new, tmp / "delta")
    assert said["bytes"] == (tmp / "delta").stat().st_size <= new.stat().st_size
    done = patch(old, tmp / "delta", tmp / "result.sd")
    assert (tmp / "result.sd").read_bytes() == new.read_bytes()
    assert done["kind"] == said["kind"]
    return said


@pytest.mark.parametrize("form", FORMS)
def test_identical_files_give_a_tiny_delta(form, tmp_path):
    write_small(tmp_path / "a.sd", values=form[0], layout=form[1])
    said = round_trip(tmp_path, tmp_path / "a.sd", tmp_path / "a.sd")
    assert said["kind"] == "delta"
    assert said["bytes"] < 200
    assert said["items"] == {"kept": 70, "added": 0, "removed": 0, "changed": 0}


def test_a_delta_and_the_compact_coding_carry_the_tower(tmp_path):
    for name, tower, values in (("a", False, "int8"), ("b", True, "int8"), ("c", True, "int4")):
        write_small(tmp_path / f"{name}.sd", tower=tower, values=values)
    for old, new in ("ab", "bc", "ba", "bb"):
        round_trip(tmp_path, tmp_path / f"{old}.sd", tmp_path / f"{new}.sd")
    assert compact(tmp_path / "b.sd", tmp_path / "b.sdz")["kind"] == "compact"
    expand(tmp_path / "b.sdz", tmp_path / "expanded.sd")
    assert (tmp_path / "expanded.sd").read_bytes() == (tmp_path / "b.sd").read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    forms=st.tuples(st.sampled_from(FORMS), st.sampled_from(FORMS)),
    same_form=st.booleans(),
    sizes=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    rest=st.tuples(st.booleans(), st.booleans()),
    users=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    dim=st.sampled_from([(16, 16), (16, 20), (300, 300)]),
)
def test_any_two_files(tmp_path_factory, seeds, forms, same_form, sizes, rest, users, dim):
    tmp = tmp_path_factory.mktemp("delta")
    forms = (forms[0], forms[0]) if same_form else forms
    paths = []
    for i in (0, 1):
        paths.append(
            write(tmp / f"{i}.sd", seeds[i], forms[i], n=sizes[i], dim=dim[i], rest=rest[i], users=users[i])
        )
    round_trip(tmp, *paths)


def refreshed(
    tmp_path: Path, n: int = 3000, share: float = 0.01, form: str = "int8", similarity: str = "cosine"
):
    """Two files with every section; in the second a share of everything is another, and ten items are new."""
    rng = np.random.default_rng(5)
    dim, users, more = 64, n // 20, 10
    items, titles = table(rng, n + more, dim, 8), [f"Title of {i}" for i in range(n + more)]
    seen = rng.random((users, n + more)) < 0.05
    user_rows = table(rng, users, dim, 8)
    weights = rng.random(n + more).astype(np.float32)
    paths = []
    for name, kept in (("old", np.arange(n)), ("new", np.arange(more, n + more))):
        paths.append(tmp_path / f"{name}.sd")
        pack(
            paths[-1],
            sp.csr_array(items[kept]),
            item_ids=[f"item-{i * 7}" for i in kept],
            titles=[titles[i] for i in kept],
            users=user_rows,
            user_ids=[f"user-{i}" for i in range(users)],
            seen=sp.csr_array(seen[:, kept]),
            values=form,
            similarity=similarity,
            fold_in=FoldIn(weights[kept], np.eye(dim, dtype=np.float32)),
            metadata={"name": name},
        )
        items, user_rows = changed(rng, items, share), changed(rng, user_rows, share)
        seen = seen ^ (rng.random(seen.shape) < share / 10)
        weights = np.where(rng.random(n + more) < share, rng.random(n + more), weights).astype(np.float32)
        titles[n // 2] = "Corrected"
    return paths


def changed(rng: np.random.Generator, rows: sp.csr_array, share: float) -> sp.csr_array:
    """The rows with a share of them replaced."""
    other = table(rng, *rows.shape, 8)
    return sp.csr_array(
        sp.vstack([(other if rng.random() < share else rows)[[i]] for i in range(rows.shape[0])])
    )


def test_a_small_refresh_gives_a_small_delta(tmp_path):
    old, new = refreshed(tmp_path)
    said = round_trip(tmp_path, old, new)
    assert said["kind"] == "delta"
    assert said["items"]["added"] == said["items"]["removed"] == 10
    assert 10 <= said["items"]["changed"] <= 50
    assert said["bytes"] < compact(new, tmp_path / "new.sdz")["bytes"] / 10


def test_files_that_share_nothing_fall_back_and_say_why(tmp_path):
    rng = np.random.default_rng(0)
    old = write(tmp_path / "old.sd", 1, ("f32", "csr"), n=1, dim=300, rest=False, users=0)
    pack(tmp_path / "new.sd", table(rng, 2000, 64, 8), item_ids=[f"n{i}" for i in range(2000)])
    said = round_trip(tmp_path, old, tmp_path / "new.sd")
    assert said["kind"] == "compact"
    assert "a delta would have" in said["reason"]
    patch(old, tmp_path / "delta", old)  # in place
    assert old.read_bytes() == (tmp_path / "new.sd").read_bytes()


def test_a_file_of_another_writer_is_sent_whole(tmp_path):
    """Bytes that this writer would not write: another scale behind the last item."""
    write_small(tmp_path / "a.sd")
    data = bytearray((tmp_path / "a.sd").read_bytes())
    scales = decode_head(memoryview(bytes(data)))[1][Kind.ITEM_SCALES]
    other = patched(bytes(data), Kind.ITEM_SCALES, scales.length - 4, np.float32(2).tobytes())
    (tmp_path / "b.sd").write_bytes(other)
    said = round_trip(tmp_path, tmp_path / "a.sd", tmp_path / "b.sd")
    assert said["kind"] == "full"
    assert "another writer" in said["reason"]


def small_delta(tmp_path: Path, form: str = "int8", similarity: str = "cosine") -> tuple[bytes, bytes, bytes]:
    old, new = refreshed(tmp_path, 100, 0.1, form, similarity)
    assert diff(old, new, tmp_path / "delta")["kind"] == "delta"
    return old.read_bytes(), (tmp_path / "delta").read_bytes(), new.read_bytes()


def test_another_base_is_refused(tmp_path):
    small_delta(tmp_path)
    with pytest.raises(PackedFileError, match="sha256") as caught:
        patch(tmp_path / "new.sd", tmp_path / "delta", tmp_path / "out.sd")
    assert caught.value.promise == "base"
    assert not (tmp_path / "out.sd").exists()


def test_missing_files_are_named(tmp_path):
    with pytest.raises(SparseDeviceError, match="absent"):
        patch(tmp_path / "absent.sd", tmp_path / "absent.delta", tmp_path / "out.sd")


def test_truncated_deltas_are_refused(tmp_path):
    base, delta, _ = small_delta(tmp_path)
    for length in range(len(delta)):
        with pytest.raises(PackedFileError):
            apply_delta(base, delta[:length])
    with pytest.raises(PackedFileError):
        apply_delta(base, delta + b"\0")


def test_flipped_deltas_are_refused(tmp_path):
    base, delta, _ = small_delta(tmp_path)
    rng = random.Random(1)
    for _ in range(3000):
        copy = bytearray(delta)
        for _ in range(rng.choice((1, 1, 2, 8))):
            copy[rng.randrange(len(copy))] ^= rng.randrange(1, 256)
        if copy != delta:
            with pytest.raises(PackedFileError):
                apply_delta(base, bytes(copy))


def sealed(delta: bytes, body: bytes, body_bytes: int | None = None) -> bytes:
    """The delta with another body, its checksum made right."""
    head = bytearray(delta[:HEADER])
    head[24:32] = (len(body) if body_bytes is None else body_bytes).to_bytes(8, "little")
    whole = head + zlib.compress(body, 1)
    whole[12:16] = bytes(4)
    whole[12:16] = zlib.crc32(whole).to_bytes(4, "little")
    return bytes(whole)


@pytest.mark.parametrize(("form", "similarity"), [("int8", "cosine"), ("int4", "dot"), ("f32", "dot")])
def test_bodies_with_flipped_bytes_never_give_another_file(form, similarity, tmp_path):
    """With checksums made right, so that each array is reached with wrong numbers in it."""
    base, delta, new = small_delta(tmp_path, form, similarity)
    body = zlib.decompress(delta[HEADER:])
    assert apply_delta(base, sealed(delta, body)) == new
    rng = random.Random(2)
    promises = set()
    for _ in range(700):
        copy = bytearray(body)
        at = rng.randrange(min(200, len(body))) if rng.random() < 0.3 else rng.randrange(len(body))
        copy[at] ^= rng.randrange(1, 256)
        if rng.random() < 0.2:
            copy = copy[: rng.randrange(len(copy))]
        try:
            assert apply_delta(base, sealed(delta, bytes(copy))) == new
        except PackedFileError as error:
            promises.add(error.promise)
    assert promises == {"body", "result"}


@pytest.mark.parametrize("claim", [2**63, 10**9, 0])
def test_claimed_sizes_are_bounded(claim, tmp_path):
    base, delta, _ = small_delta(tmp_path)
    body = zlib.decompress(delta[HEADER:])
    with pytest.raises(PackedFileError) as caught:
        apply_delta(base, sealed(delta, body, claim))
    assert caught.value.promise == "body"


def test_a_body_that_expands_is_refused_before_it_is_built(tmp_path):
    """A gigabyte of zeros in a megabyte: more is not unpacked than the header says."""
    base, delta, _ = small_delta(tmp_path)
    with pytest.raises(PackedFileError) as caught:
        apply_delta(base, sealed(delta, bytes(50_000_000), 1000))
    assert caught.value.promise == "body"


def test_full_file_as_delta_is_verified(tmp_path):
    write_small(tmp_path / "a.sd")
    data = (tmp_path / "a.sd").read_bytes()
    (tmp_path / "delta").write_bytes(with_header_checksum(bytearray(data[:-1] + b"~")))
    with pytest.raises(PackedFileError):
        patch(tmp_path / "a.sd", tmp_path / "delta", tmp_path / "out.sd")
    assert not (tmp_path / "out.sd").exists()
