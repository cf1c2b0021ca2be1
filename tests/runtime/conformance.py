"""Checks that every backend must pass.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_conformance(check, tmp_path):
        check(Subject(MyRecommender.open, tmp_path))

``open`` takes the path of a packed file and gives a Recommender. A backend that lacks a kind of table says
so: ``Subject(open, tmp_path, supports=lambda case: case.values == "int8")``.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.errors import ConfigError, UnknownIdError
from sparsedevice.packing import FoldIn, PackedFile, Ridge, Steps, pack
from sparsedevice.packing.tower import Tower, layer_shapes
from sparsedevice.runtime.recommender import Recommender
from sparsedevice.runtime.reference import NumpyRecommender
from sparsedevice.vocabulary import Vocabulary


@dataclass(frozen=True)
class Case:
    """One random table."""

    values: str = "int8"
    layout: str = "auto"
    similarity: str = "cosine"
    dim: int = 64
    n_items: int = 300
    fold_in: str = "sum"
    alike: bool = False  # rows of few lengths: kernels skip slices whose rows are alike
    seed: int = 0

    @property
    def integer(self) -> bool:
        return self.values in ("int8", "int4")


INTEGER, EVERY = ("int8", "int4"), ("f32", "f16", "int8", "int4")
CASES = [
    *(Case(dim=dim, values=values) for dim in (1, 5, 64, 100, 128, 256) for values in INTEGER),
    Case(dim=260, layout="sliced"),
    Case(dim=700, values="int4", layout="sliced"),
    *(Case(layout="csr", values=values, dim=dim) for values in EVERY for dim in (7, 300)),
    *(Case(similarity="dot", values=values, fold_in="weights") for values in EVERY),
    *(Case(fold_in="matrix", values=values, dim=33) for values in ("f32", "int8")),
    *(Case(fold_in=rule, values=values, dim=40) for rule in ("ridge", "steps") for values in ("f32", "int8")),
    Case(fold_in="ridge+weights", values="int4", dim=20),
    Case(fold_in="ridge+matrix", values="int4", dim=20, similarity="dot"),
    Case(fold_in="steps+weights", values="int4", dim=300),
    Case(fold_in="steps+matrix", values="int4", dim=300),
    Case(fold_in="steps", dim=300, layout="sliced"),
    Case(fold_in="steps", n_items=50),
    *(Case(fold_in="tower", values=values, dim=40) for values in ("f32", "int8")),
    Case(fold_in="tower+weights+matrix", values="int4", dim=300, similarity="dot"),
    Case(n_items=1),
    Case(n_items=64, values="int4"),
    Case(n_items=1025),
    *(Case(n_items=5000, values=values, alike=True) for values in INTEGER),
    Case(n_items=3000, dim=128, alike=True),
]


def everything(_: Case) -> bool:
    return True


@dataclass(frozen=True)
class Subject:
    """A backend under test, and a folder to write in."""

    open: Callable[[Path], Recommender]
    folder: Path
    supports: Callable[[Case], bool] = everything

    def board(self) -> Recommender:
        """The backend with the checkerboard open."""
        write_checkerboard(self.folder / "board.sd")
        return self.open(self.folder / "board.sd")


def random_rows(rng: np.random.Generator, n: int, dim: int, *, alike: bool = False) -> sp.csr_array:
    """Rows of different lengths, some empty, or of 5 to 7 entries; values of both signs and several sizes."""
    lengths = rng.integers(5, 8, n) if alike else rng.binomial(dim, rng.beta(0.6, 3.0, n))
    columns = np.concatenate([np.sort(rng.choice(dim, k, replace=False)) for k in lengths] or [[]])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data = (rng.normal(size=len(columns)) * np.exp(rng.normal(size=len(columns)))).astype(np.float32)
    return sp.csr_array((data, columns.astype(np.int32), indptr), shape=(n, dim))


def fold_in_of(case: Case, rng: np.random.Generator) -> FoldIn:
    """The rule of a case: its parts, joined by "+"."""
    parts = case.fold_in.split("+")
    weights = matrix = None
    if "weights" in parts:
        weights = rng.random(case.n_items, np.float32) + np.float32(0.1)
    if "matrix" in parts:
        matrix = rng.normal(size=(case.dim, case.dim)).astype(np.float32)
    rule: Ridge | Steps | Tower | None = None
    if "ridge" in parts:
        rule = Ridge(2.5, 6)
        matrix = None if matrix is None else (matrix @ matrix.T / np.float32(case.dim)).astype(np.float32)
    if "steps" in parts:
        rule = Steps(4, 64, 1.5, 8.0, 1.25)
    if "tower" in parts:
        shapes = layer_shapes(3, case.dim - 7, case.dim)
        layers = ((rng.normal(size=s) * 2 / s[1] ** 0.5, rng.normal(size=s[0]) / 9) for s in shapes)
        rule = Tower(tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers))
    return FoldIn(weights, matrix, rule)


@functools.cache
def packed_case(case: Case) -> bytes:
    """A file with the random table of a case, users, seen lists and titles."""
    rng = np.random.default_rng(case.seed)
    n, n_users = case.n_items, 9
    fold_in = fold_in_of(case, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.sd"
        pack(
            path,
            random_rows(rng, n, case.dim, alike=case.alike),
            item_ids=[f"i{i}" for i in range(n)],
            titles=[f"Item {i} é" if i % 3 else "" for i in range(n)],
            users=random_rows(rng, n_users, case.dim),
            user_ids=[f"u{i}" for i in range(n_users)],
            seen=sp.csr_array(rng.random((n_users, n)) < 0.1),
            values=case.values,  # type: ignore[arg-type]
            layout=case.layout,
            similarity=case.similarity,  # type: ignore[arg-type]
            fold_in=fold_in,
        )
        return path.read_bytes()


@functools.cache
def reference(case: Case) -> NumpyRecommender:
    """The reference backend on that file; strings, most of an answer's time, are decoded once."""
    packed = PackedFile(packed_case(case))
    assert packed.user_vocabulary is not None
    assert packed.titles is not None
    vars(packed).update(
        vocabulary=Vocabulary(list(packed.vocabulary.ids)),
        user_vocabulary=Vocabulary(list(packed.user_vocabulary.ids)),
        titles=list(packed.titles),
    )
    return NumpyRecommender(packed)


def write_case(path: Path, case: Case) -> Path:
    """Write that file."""
    path.write_bytes(packed_case(case))
    return path


def write_checkerboard(path: Path, n: int = 40) -> None:
    """Even users have seen even items and odd users odd items, all but the one of their own number.

    Every row has a part that all items share and one for its parity, so an even user's scores for even
    items are 1, for odd ones below 1; what is left to recommend first is the one item not yet seen.
    """
    parity = np.arange(n) % 2
    columns = np.stack((np.zeros(n, np.int32), 1 + parity), axis=1).astype(np.int32).ravel()
    rows = sp.csr_array((np.ones(2 * n, np.float32), columns, 2 * np.arange(n + 1)), shape=(n, 3))
    seen = (parity[:, None] == parity[None, :]) & ~np.eye(n, dtype=bool)
    pack(
        path,
        rows,
        item_ids=[str(i) for i in range(n)],
        users=rows,
        user_ids=[str(i) for i in range(n)],
        seen=sp.csr_array(seen),
    )


def cases(subject: Subject) -> Iterator[tuple[Case, Recommender, NumpyRecommender]]:
    """Each supported case with the backend under test and the reference."""
    supported = [case for case in CASES if subject.supports(case)]
    assert supported, "no case is supported: the check would show nothing"
    for i, case in enumerate(supported):
        path = subject.folder / f"case-{i}.sd"
        yield case, subject.open(write_case(path, case)), reference(case)


def assert_same(case: Case, got: Any, wanted: Any) -> None:
    """Equal bits on the integer path; within 1e-5 on the float path, where near-ties may swap."""
    assert got.unknown == wanted.unknown
    assert got.scores.dtype == np.float32
    assert len(got.items) == len(got.scores) == len(got.rows) == len(wanted.items)
    if case.integer:
        assert got.items == wanted.items, case
        assert got.scores.tobytes() == wanted.scores.tobytes(), case
        assert got.rows.tolist() == wanted.rows.tolist()
        assert got.titles == wanted.titles
        return
    np.testing.assert_allclose(got.scores, wanted.scores, rtol=2e-5, atol=2e-6)
    assert len(set(got.items)) == len(got.items)


QUESTIONS: list[dict[str, Any]] = [
    {"history": ["i0"]},
    {"history": ["i7", "i3", "i7", "nobody", "i120"]},
    {"history": []},
    {"history": ["i1", "i2"], "exclude": "none"},
    {"history": ["i1", "i2"], "exclude": ["i5", "i6", "what", "i5"]},
    {"history": ["i1"], "candidates": ["i9", "i8", "i8", "who", "i1"]},
    {"history": ["i1"], "candidates": []},
    {"user": "u3"},
    {"user": "u4", "exclude": "none"},
    {"user": "u5", "exclude": ["i0", "i2"]},
    {"user": "u6", "candidates": [f"i{i}" for i in range(0, 300, 2)]},
]


def check_recommend(subject: Subject) -> None:
    for case, backend, expected in cases(subject):
        for question, k in itertools.product(QUESTIONS, (1, 10, 2000)):
            got, wanted = backend.recommend(k=k, **question), expected.recommend(k=k, **question)
            assert_same(case, got, wanted)


def check_score(subject: Subject) -> None:
    for case, backend, expected in cases(subject):
        items = [f"i{i}" for i in range(case.n_items)][::-1]
        for source in ({"history": ["i0", "i5"]}, {"user": "u1"}, {"history": []}):
            got, wanted = backend.score(items=items, **source), expected.score(items=items, **source)
            assert got.dtype == np.float32
            if case.integer:
                assert got.tobytes() == wanted.tobytes(), case
            else:
                np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


def check_lookup(subject: Subject) -> None:
    for case, backend, expected in cases(subject):
        ids = [f"i{i}" for i in range(case.n_items)][::-3]
        got, wanted = backend.lookup(ids), expected.lookup(ids)
        assert got.shape == (len(ids), case.dim)
        assert abs(got - wanted).max() <= (0 if case.integer else 1e-6) if got.nnz else wanted.nnz == 0
        assert backend.lookup([]).shape == (0, case.dim)


def check_similar(subject: Subject) -> None:
    for case, backend, expected in cases(subject):
        for item, k in itertools.product(("i0", f"i{case.n_items - 1}"), (1, 7, 5000)):
            got = backend.similar(item, k)
            assert_same(case, got, expected.similar(item, k))
            assert item not in got.items
            assert len(got) == min(k, case.n_items - 1)


def check_checkerboard(subject: Subject) -> None:
    n, backend = 40, subject.board()
    for user in range(n):
        got = backend.recommend(user=str(user), k=n)
        assert got.items[0] == str(user), "the one item of the user's own parity that was not seen"
        assert len(got) == n // 2 + 1, "what was seen is left out, all else is there"
        assert all(int(item) % 2 != user % 2 for item in got.items[1:])
        assert got.rows[1:].tolist() == sorted(got.rows[1:]), "equal scores stand in row order"
    for item in range(4):
        got = backend.recommend(history=[item], k=n // 2 - 1)
        assert all(int(other) % 2 == item % 2 for other in got.items)
        assert str(item) not in got.items


def check_exactly_k(subject: Subject) -> None:
    backend = subject.board()
    for k in (1, 2, 21, 39, 40, 41, 10_000):
        assert len(backend.recommend(history=[], k=k)) == min(k, 40)
        assert len(backend.recommend(history=["1", "2", "3"], k=k)) == min(k, 37)
        assert len(backend.recommend(user="0", k=k, exclude=[str(i) for i in range(10)])) == min(k, 15)
    everything_out = [str(i) for i in range(40)]
    assert len(backend.recommend(history=everything_out)) == 0
    assert len(backend.recommend(history=everything_out, exclude="none")) == 10


def check_empty_history(subject: Subject) -> None:
    backend = subject.board()
    got = backend.recommend(history=[], k=5)
    assert got.rows.tolist() == [0, 1, 2, 3, 4]
    assert not got.scores.any()
    unknown = backend.recommend(history=["x", "y"], k=5)
    assert unknown.unknown == ["x", "y"]
    assert unknown.items == got.items


def check_integer_ids(subject: Subject) -> None:
    backend = subject.board()
    a = backend.recommend(history=[3, 5], candidates=np.arange(20), exclude=[7])  # type: ignore[arg-type]
    b = backend.recommend(history=["3", "5"], candidates=[str(i) for i in range(20)], exclude=["7"])
    assert a.items == b.items
    assert backend.recommend(user=2).items == backend.recommend(user="2").items


def check_refusals(subject: Subject) -> None:
    backend = subject.board()
    for k in (0, -1, 1.5, True, "3", None):
        with pytest.raises(ConfigError, match="k is"):
            backend.recommend(history=["1"], k=k)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="either a history or a user"):
        backend.recommend()
    with pytest.raises(ConfigError, match="either a history or a user"):
        backend.recommend(history=["1"], user="1")
    with pytest.raises(ConfigError, match="give a list of ids"):
        backend.recommend(history="12")
    with pytest.raises(ConfigError, match="give a list of ids"):
        backend.recommend(history=["1"], candidates="12")
    with pytest.raises(ConfigError, match="exclude is"):
        backend.recommend(history=["1"], exclude="seem")
    with pytest.raises(UnknownIdError, match="unknown user"):
        backend.recommend(user="nobody")
    with pytest.raises(UnknownIdError, match="unknown item"):
        backend.score(history=["1"], items=["1", "nothing"])
    with pytest.raises(UnknownIdError, match="unknown"):
        backend.lookup(["nothing"])
    with pytest.raises(UnknownIdError, match="unknown"):
        backend.similar("nothing")


def check_without_users(subject: Subject) -> None:
    rows = sp.csr_array(np.eye(3, dtype=np.float32))
    pack(subject.folder / "items.sd", rows, item_ids=["a", "b", "c"])
    backend = subject.open(subject.folder / "items.sd")
    with pytest.raises(UnknownIdError, match="ships no users"):
        backend.recommend(user="a")
    got = backend.recommend(history=["b"], exclude="none", k=1)
    assert got.items == ["b"]
    assert got.titles is None
    assert got.scores.tolist() == [1.0]


CHECKS = [
    check_recommend,
    check_score,
    check_lookup,
    check_similar,
    check_checkerboard,
    check_exactly_k,
    check_empty_history,
    check_integer_ids,
    check_refusals,
    check_without_users,
]
