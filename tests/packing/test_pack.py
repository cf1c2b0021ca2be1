"""Round trips, determinism, the writer's refusals, strings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsedevice.errors import ConfigError, SparseDeviceError, UnknownIdError
from sparsedevice.packing import FoldIn, PackedFile, inspect, pack
from sparsedevice.packing.quantize import quantize
from sparsedevice.packing.sliced import from_slices, pack_nibbles, to_slices, unpack_nibbles
from sparsedevice.runtime.core import CoreRecommender
from tests.packing.small import DIM, N_ITEMS, small_tables, write_small


@st.composite
def tables(draw):
    """Small tables with integer values within int4, so that quantisation can be undone exactly."""
    n, dim = draw(st.integers(1, 150)), draw(st.sampled_from([1, 3, 16, 64, 65, 130, 256, 257, 700, 4096]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    dense = rng.integers(-7, 8, (n, dim)) * (rng.random((n, dim)) < draw(st.floats(0, 1)))
    return sp.csr_array(dense.astype(np.float32))


@given(tables())
@settings(max_examples=60, deadline=None)
def test_slices_round_trip(table):
    rows = quantize(table, "int4", "dot", name="item")
    slices = to_slices(rows)
    steps = np.diff(slices.pointers.astype(np.int64))
    assert len(slices.columns) == len(slices.values) == 64 * steps.sum()
    assert len(slices.bases) == (steps.sum() if table.shape[1] > 256 else 0)
    assert (steps <= table.shape[1]).all()
    packed = pack_nibbles(slices.values, slices.pointers)
    assert 2 * len(packed) == len(slices.values)
    assert (unpack_nibbles(packed, slices.pointers) == slices.values).all()
    indptr, back_columns, back_values = from_slices(slices, table.shape[0])
    assert (indptr == rows.indptr).all()
    assert (back_columns == rows.columns).all()
    assert (back_values == rows.values).all()


@given(tables(), st.sampled_from(["f32", "f16", "int8"]), st.sampled_from(["csr", "auto"]))
@settings(max_examples=60, deadline=None)
def test_file_round_trip(tmp_path_factory, table, values, layout):
    """Whole numbers survive f32 and f16 exactly, and int8 to half a step."""
    path = tmp_path_factory.mktemp("pack") / "x.sd"
    n = table.shape[0]
    info = pack(
        path, table, item_ids=[f"{i}" for i in range(n)], values=values, layout=layout, similarity="dot"
    )
    packed = PackedFile.open(path)
    CoreRecommender.open(path)
    assert [packed.vocabulary.ids[i] for i in range(n)] == [str(i) for i in info.order]
    wanted = table[info.order]
    error = abs(packed.items - wanted).max() if wanted.nnz else packed.items.nnz
    assert error <= (7 / 127 / 2 + 1e-6 if values == "int8" else 0)
    lengths = np.diff(packed.items.indptr)
    assert (np.diff(lengths) <= 0).all(), "longest row first"
    assert packed.nnz == packed.items.nnz == info.nnz
    assert info.file_bytes == path.stat().st_size


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXT, unique=True, min_size=1, max_size=40), TEXT)
@settings(max_examples=60, deadline=None)
def test_ids_are_found(tmp_path_factory, ids, other):
    path = tmp_path_factory.mktemp("ids") / "x.sd"
    rows = sp.csr_array(np.ones((len(ids), 1), np.float32))
    pack(path, rows, item_ids=ids)
    packed, core = PackedFile.open(path), CoreRecommender.open(path)
    for row, id_ in enumerate(ids):
        assert packed.vocabulary.row(id_) == row
        assert core.recommend(history=[], candidates=[id_]).rows.tolist() == [row]
    assert packed.vocabulary.ids[:] == ids
    if other not in ids:
        with pytest.raises(UnknownIdError):
            packed.vocabulary.row(other)
        assert core.recommend(history=[other]).unknown == [other]
    assert packed.vocabulary.rows([*ids, "\ud800"]).tolist() == [*range(len(ids)), -1]
    assert packed.vocabulary.rows(ids * 512).tolist() == list(range(len(ids))) * 512


@pytest.mark.parametrize(("values", "worst"), [("int8", 0.9999), ("int4", 0.985)])
def test_quantised_rows_point_the_same_way(values, worst):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(500, 64)) * (rng.random((500, 64)) < 0.1)
    dense[:, 0] += 0.1
    table = sp.csr_array(dense.astype(np.float32))
    rows = quantize(table, values, "cosine", name="item")
    whole = sp.csr_array(
        (rows.values.astype(float) * np.repeat(rows.scales, np.diff(rows.indptr)), rows.columns, rows.indptr),
        shape=table.shape,
    )
    norms = np.sqrt(np.asarray((table * table).sum(axis=1)).ravel())
    cosine = np.asarray((whole * table).sum(axis=1)).ravel() / norms
    assert cosine.min() > worst
    np.testing.assert_allclose(np.asarray((whole * whole).sum(axis=1)).ravel(), 1, rtol=1e-6)


def test_int4_search_is_no_worse_than_the_plain_step():
    rng = np.random.default_rng(1)
    table = sp.csr_array(rng.normal(size=(300, 32)).astype(np.float32))
    dense = table.toarray().astype(float)
    plain = np.rint(dense / (np.abs(dense).max(axis=1, keepdims=True) / 7))
    searched = np.zeros_like(dense)
    rows = quantize(table, "int4", "cosine", name="item")
    searched[np.repeat(np.arange(300), np.diff(rows.indptr)), rows.columns] = rows.values

    def cosines(a):
        return (a * dense).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(dense, axis=1)

    assert (cosines(searched) >= cosines(plain) - 1e-12).all()
    assert cosines(searched).mean() > cosines(plain).mean() + 0.0003


def test_same_arguments_same_bytes(tmp_path):
    write_small(tmp_path / "a.sd")
    write_small(tmp_path / "b.sd")
    assert (tmp_path / "a.sd").read_bytes() == (tmp_path / "b.sd").read_bytes()


def test_entries_out_of_order_or_twice_are_put_right(tmp_path):
    table = sp.csr_array(
        (np.array([3, 1, 1, 5], np.float32), np.array([2, 0, 0, 1]), np.array([0, 3, 4])), shape=(2, 3)
    )
    pack(tmp_path / "x.sd", table, item_ids=["a", "b"], values="f32", similarity="dot")
    assert PackedFile.open(tmp_path / "x.sd").items.toarray().tolist() == [[2, 0, 3], [0, 5, 0]]


def test_reorder_carries_everything_along(tmp_path):
    info = write_small(tmp_path / "x.sd", values="f32", similarity="dot")
    packed = PackedFile.open(tmp_path / "x.sd")
    items, users, seen = small_tables()
    assert (packed.items != items[info.order]).nnz == 0
    assert (packed.users != users).nnz == 0
    assert (packed.seen != seen[:, info.order]).nnz == 0
    assert packed.titles[3] == ("" if info.order[3] % 5 == 0 else f"Größe {info.order[3]} 名")
    assert packed.fold_in.weights.tolist() == (1 + info.order % 3).tolist()
    assert packed.fold_in.matrix[1, 2] == 0.25
    assert packed.user_vocabulary.row(97) == 3


def test_a_mapped_file_outlives_its_replacement(tmp_path):
    write_small(tmp_path / "x.sd")
    core = CoreRecommender.open(tmp_path / "x.sd")
    before = core.recommend(history=["item-5"]).items
    pack(tmp_path / "x.sd", sp.csr_array(np.ones((1, 1), np.float32)), item_ids=["only"])
    assert core.recommend(history=["item-5"]).items == before
    assert CoreRecommender.open(tmp_path / "x.sd").recommend(history=[]).items == ["only"]


def test_inspect(tmp_path):
    info = write_small(tmp_path / "x.sd")
    seen = inspect(tmp_path / "x.sd")
    assert seen["bytes"] == info.file_bytes == (tmp_path / "x.sd").stat().st_size
    assert (seen["n_items"], seen["dim"], seen["nnz"]) == (N_ITEMS, DIM, info.nnz)
    assert (seen["values"], seen["layout"], seen["similarity"]) == ("int8", "sliced", "cosine")
    assert {name: section["bytes"] for name, section in seen["sections"].items()} == info.section_bytes
    with pytest.raises(SparseDeviceError, match=r"nothing\.sd"):
        inspect(tmp_path / "nothing.sd")


ONE = sp.csr_array(np.ones((2, 3), np.float32))
REFUSED = [
    ({"item_ids": ["a"]}, "1 item ids for 2"),
    ({"item_ids": ["a", "a"]}, "'a' stands in rows 0 and 1"),
    ({"item_ids": ["a", "\ud800"]}, "not valid Unicode"),
    ({"item_ids": ["a", "x" * 65_536]}, "65536 bytes"),
    ({"titles": ["t"]}, "1 titles"),
    ({"values": "int3"}, "use one of f32, f16, int8, int4"),
    ({"layout": "ell"}, "use auto, csr or sliced"),
    ({"layout": "sliced", "values": "f32"}, "use layout 'csr'"),
    ({"similarity": "euclid"}, "use one of cosine, dot"),
    ({"users": ONE}, "users and user_ids"),
    ({"seen": ONE}, "users and user_ids"),
    ({"users": ONE, "user_ids": ["a"]}, "1 user ids"),
    ({"users": ONE[:, :2], "user_ids": ["a", "b"]}, "does not fit 3 columns"),
    ({"users": ONE, "user_ids": ["a", "b"], "seen": ONE}, "seen has shape"),
    ({"fold_in": FoldIn(np.ones(3, np.float32))}, "weights has shape"),
    ({"fold_in": FoldIn(None, np.full((3, 3), np.nan, np.float32))}, "not finite"),
    ({"metadata": {"Bad Key": "x"}}, "metadata"),
    ({"metadata": {"k": 3}}, "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_writer_refuses(change, sentence, tmp_path):
    arguments = {"item_ids": ["a", "b"]} | change
    with pytest.raises(ConfigError, match=sentence):
        pack(tmp_path / "x.sd", ONE, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_writer_refuses_values_that_are_not_finite(bad, tmp_path):
    table = sp.csr_array(np.array([[1, 0], [0, bad]], np.float32))
    with pytest.raises(ConfigError, match="row 1 of the item table"):
        pack(tmp_path / "x.sd", table, item_ids=["a", "b"])


def test_writer_refuses_values_too_large_for_f16(tmp_path):
    with pytest.raises(ConfigError, match="too large for f16"):
        pack(tmp_path / "x.sd", sp.csr_array(np.array([[1e6]], np.float32)), item_ids=["a"], values="f16")


def test_wide_tables_are_sliced_where_that_is_no_larger(tmp_path):
    rng = np.random.default_rng(0)
    columns = np.sort(rng.integers(0, 43, (640, 16)) + 43 * np.arange(16) * 128 // 43 // 2, axis=1)
    close = sp.csr_array(
        (np.ones(640 * 16, np.float32), columns.ravel(), 16 * np.arange(641)), shape=(640, 2048)
    )
    far = sp.random_array((640, 2048), density=0.005, rng=rng, dtype=np.float32, format="csr")
    for table, layout in ((close, "sliced"), (far, "csr")):
        ids = [str(i) for i in range(640)]
        info = pack(tmp_path / "x.sd", table, item_ids=ids)
        assert info.layout == layout
        items = PackedFile.open(tmp_path / "x.sd").items
        sizes = []
        for other in ("csr", "sliced"):
            sizes.append(pack(tmp_path / "y.sd", table, item_ids=ids, layout=other).file_bytes)
            assert (PackedFile.open(tmp_path / "y.sd").items != items).nnz == 0
        assert info.file_bytes == min(sizes)
        assert inspect(tmp_path / "x.sd")["padding"] < 0.5
