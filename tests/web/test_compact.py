"""Compact files in the browser and in Node: the bytes that Python's expand gives, or an error."""

from __future__ import annotations

import base64
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import compact, pack
from tests.android.test_update import pairs
from tests.packing.small import write_small
from tests.packing.test_compact import FORMS, check_damaged_parts, parts, sealed, table
from tests.runtime.conformance import CASES, write_case
from tests.web.module_recommender import ModuleRecommender, NodeModule, call
from tests.web.test_page import SHOWN, TEXT, expected, visit
from tests.web.test_update import kept

pytestmark = pytest.mark.usefixtures("node")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def module(assets):
    running = NodeModule(assets)
    yield running
    running.close()


def expanded(module, coded: bytes) -> bytes:
    return base64.b64decode(call(module.send, "expand", coded=base64.b64encode(coded).decode()))


def coded_form(path: Path) -> bytes:
    """A packed file in the compact coding; it must be one that the coding makes smaller."""
    assert compact(path, path.with_suffix(".sdz"))["kind"] == "compact"
    return path.with_suffix(".sdz").read_bytes()


@pytest.mark.parametrize(("values", "layout", "similarity"), FORMS)
def test_every_section_comes_back(module, values, layout, similarity, tmp_path):
    path = tmp_path / "a.sd"
    write_small(path, values=values, layout=layout, similarity=similarity)
    assert expanded(module, coded_form(path)) == path.read_bytes()


@pytest.mark.parametrize("layout", ["wide", "auto"])
def test_wide_slices_and_a_tower(module, layout, tmp_path):
    path = tmp_path / "a.sd"
    write_small(path, layout=layout, tower=True)
    assert expanded(module, coded_form(path)) == path.read_bytes()


def test_the_golden_file(module):
    wanted = (GOLDEN / "v1-int8-sliced-cosine.sd").read_bytes()
    assert expanded(module, (GOLDEN / "v1.sdz").read_bytes()) == wanted


def test_files_of_every_size(module, tmp_path):
    """Uneven and empty rows, with and without users, and the tables of the suite of all backends."""
    paths = [path for pair in pairs(tmp_path) for path in pair]
    paths += [write_case(tmp_path / f"case-{i}.sd", case) for i, case in enumerate(CASES)]
    seen = 0
    for path in paths:
        if compact(path, tmp_path / "coded")["kind"] == "compact":
            seen += 1
            assert expanded(module, (tmp_path / "coded").read_bytes()) == path.read_bytes(), path
    assert seen > 90


@pytest.mark.parametrize(
    "ids",
    [str, "k{:04x}".format, "item number {}".format, lambda i: str(10**17 - i), lambda i: "é" * (i + 1)],
)
def test_ids_of_every_coding(module, ids, tmp_path):
    rows = table(np.random.default_rng(3), 300, 16, 0, 6)
    names = [ids(i * 37 % 4001) if i else ids(0) for i in range(300)]
    pack(tmp_path / "a.sd", rows, item_ids=names, titles=["T" + name for name in names])
    assert expanded(module, coded_form(tmp_path / "a.sd")) == (tmp_path / "a.sd").read_bytes()


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("magic", lambda data: b"x" + data[1:]),
        ("truncated", lambda data: data[:71]),
        ("truncated", lambda data: data[:0]),
        ("version", lambda data: data[:8] + b"\x02" + data[9:]),
        ("checksum", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("checksum", lambda data: data[:200]),
        ("lengths", lambda data: sealed(data, *parts(data), packed=2**63)),
        ("lengths", lambda data: sealed(data, *parts(data), stream=2**63)),
        ("body", lambda data: sealed(data, *parts(data), body=10**8)),
        ("body", lambda data: sealed(data, *parts(data), packed=10)),
        ("body", lambda data: sealed(data, parts(data)[0] + b"\0", parts(data)[1])),
        ("body", lambda data: sealed(data, parts(data)[0], parts(data)[1][:-1] + b"\1")),
        ("streams", lambda data: sealed(data, parts(data)[0], bytes(len(parts(data)[1])))),
        ("result", lambda data: sealed(data[:40] + bytes(32) + data[72:], *parts(data))),
    ],
)
def test_damaged_files(module, promise, damage, tmp_path):
    write_small(tmp_path / "a.sd")
    with pytest.raises(PackedFileError) as refused:
        expanded(module, damage(coded_form(tmp_path / "a.sd")))
    assert refused.value.promise == promise


@pytest.mark.parametrize(("values", "dim"), [("int8", 64), ("int4", 300), ("f16", 300)])
def test_damaged_parts_never_give_another_file(module, values, dim, tmp_path):
    check_damaged_parts(partial(expanded, module), tmp_path, values=values, dim=dim, n=200, times=200)


def test_the_recommender_opens_them(module, tmp_path):
    path = tmp_path / "a.sd"
    write_small(path)
    coded_form(path)
    plain = ModuleRecommender(module.send, str(path))
    small = ModuleRecommender(module.send, str(path.with_suffix(".sdz")))
    assert small.info == plain.info
    wanted = plain.recommend(history=["item-3", "item-8"], k=20)
    got = small.recommend(history=["item-3", "item-8"], k=20)
    assert (got.items, got.scores.tolist(), got.titles) == (
        wanted.items,
        wanted.scores.tolist(),
        wanted.titles,
    )
    assert base64.b64decode(small._ask("packed")) == path.read_bytes()
    path.with_suffix(".sdz").write_bytes(path.with_suffix(".sdz").read_bytes()[:-9])
    with pytest.raises(PackedFileError, match="damaged or cut short"):
        ModuleRecommender(module.send, str(path.with_suffix(".sdz")))


FETCHED = "performance.getEntriesByType('resource').map((entry) => entry.name.split('/').pop())"


def test_page_downloads_the_compact_model(browser, bundle, serving, tmp_path):
    """A model file that the page could not use in place, kept as one that it can."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    facts = json.loads((folder / "model.json").read_text())
    assert (
        facts["compact_bytes"] == (folder / "model.sdz").stat().st_size < (folder / "model.sd").stat().st_size
    )
    with serving(folder) as url:
        visit(browser, url, ["3", "9"])
        fetched = browser.run(f"return {FETCHED}")
        assert "model.sdz" in fetched
        assert "model.sd" not in fetched
        assert browser.run(f"return {SHOWN}") == expected(folder, ["3", "9"])
        browser.wait(f"{TEXT.format('fact-offline')} === 'works'")
        assert kept(browser) == (folder / "model.sd").read_bytes()
        visit(browser, url, ["3", "9"])
        assert "model.sdz" not in browser.run(f"return {FETCHED}")
    assert not browser.errors()


def test_page_takes_the_packed_model_where_the_compact_one_is_damaged(browser, bundle, serving, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    with serving(folder) as url:
        (folder / "model.sdz").write_bytes((folder / "model.sdz").read_bytes()[:-1])
        visit(browser, url, ["3", "9"])
        assert browser.run(f"return {SHOWN}") == expected(folder, ["3", "9"])
    assert not browser.errors()
