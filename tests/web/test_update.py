"""Deltas in the browser and in Node: the bytes that Python's patch gives, or an error and the old model."""

from __future__ import annotations

import base64
import json
import random
import shutil
import zlib
from hashlib import sha256

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.errors import PackedFileError
from sparsedevice.packing import PackedFile, compact, diff, pack
from tests.android.test_update import pairs
from tests.packing.small import code, rising, serial, write_small
from tests.packing.test_delta import HEADER, refreshed, sealed, table
from tests.web.module_recommender import NodeModule, call
from tests.web.test_page import SHOWN, TEXT, expected, visit

pytestmark = pytest.mark.usefixtures("node")
KEPT = """
const name = (await caches.keys()).find((name) => name.startsWith("sparsedevice-model "));
const kept = await (await caches.open(name)).match("model.sd");
return Array.from(new Uint8Array(await kept.arrayBuffer()));
"""


@pytest.fixture(scope="module")
def module(assets):
    running = NodeModule(assets)
    yield running
    running.close()


def apply(module, base: bytes, delta: bytes) -> bytes:
    texts = {"base": base64.b64encode(base).decode(), "delta": base64.b64encode(delta).decode()}
    return base64.b64decode(call(module.send, "applyDelta", **texts))


def made(folder, old, new) -> bytes:
    assert diff(old, new, folder / "delta")["kind"] == "delta"
    return (folder / "delta").read_bytes()


def test_any_two_files(module, tmp_path):
    deltas = 0
    for old, new in pairs(tmp_path):
        deltas += diff(old, new, tmp_path / "delta")["kind"] == "delta"
        delta = (tmp_path / "delta").read_bytes()
        assert apply(module, old.read_bytes(), delta) == new.read_bytes()
    assert deltas >= 10


@pytest.mark.parametrize("form", ["int8", "int4", "f16", "f32"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_refreshed_model(module, form, similarity, tmp_path):
    old, new = refreshed(tmp_path, n=700, form=form, similarity=similarity)
    delta = made(tmp_path, old, new)
    assert apply(module, old.read_bytes(), delta) == new.read_bytes()
    with pytest.raises(PackedFileError, match="fetch the delta for this model, or the full model") as refused:
        apply(module, new.read_bytes(), delta)
    assert refused.value.promise == "base"


@pytest.mark.parametrize(
    "ids", [str, "k{:04x}".format, code, rising, serial, "item number {}".format, "{}".format]
)
def test_ids_of_every_coding(module, ids, tmp_path):
    rows = table(np.random.default_rng(3), 400, 16, 6)
    for i, name in enumerate(("old", "new")):
        kept = np.arange(20 * i, 380 + 20 * i)
        names = [ids(int(j) * 37 % 4001) for j in kept]
        if i and ids == "{}".format:
            names[-1] = "one that is no number"
        pack(tmp_path / name, sp.csr_array(rows[kept]), item_ids=names, titles=["T" + n for n in names])
    delta = made(tmp_path, tmp_path / "old", tmp_path / "new")
    assert apply(module, (tmp_path / "old").read_bytes(), delta) == (tmp_path / "new").read_bytes()


def test_a_delta_carries_the_tower(module, tmp_path):
    for name, tower in (("old", False), ("new", True)):
        write_small(tmp_path / name, tower=tower)
    write_small(tmp_path / "coarse", tower=True, values="int4")
    for old, new in (("old", "new"), ("new", "coarse"), ("new", "old")):
        delta = made(tmp_path, tmp_path / old, tmp_path / new)
        assert apply(module, (tmp_path / old).read_bytes(), delta) == (tmp_path / new).read_bytes()


def test_whole_models(module, tmp_path):
    write_small(tmp_path / "old.sd")
    write_small(tmp_path / "new.sd", values="int4")
    old, new = (tmp_path / "old.sd").read_bytes(), (tmp_path / "new.sd").read_bytes()
    assert apply(module, old, new) == new
    with pytest.raises(PackedFileError) as refused:
        apply(module, old, new[:-1] + bytes([new[-1] ^ 1]))
    assert refused.value.promise == "checksum"
    compact(tmp_path / "new.sd", tmp_path / "small.sdz")
    assert apply(module, old, (tmp_path / "small.sdz").read_bytes()) == new


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("magic", lambda data: b"x" + data[1:]),
        ("truncated", lambda data: data[:95]),
        ("truncated", lambda data: data[:0]),
        ("version", lambda data: data[:8] + b"\x02" + data[9:]),
        ("checksum", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("body", lambda data: sealed(data, zlib.decompress(data[HEADER:]), 2**63)),
        ("body", lambda data: sealed(data, bytes(5_000_000), 1000)),
    ],
)
def test_damaged_deltas(module, promise, damage, tmp_path):
    old, new = refreshed(tmp_path, n=60)
    with pytest.raises(PackedFileError) as refused:
        apply(module, old.read_bytes(), damage(made(tmp_path, old, new)))
    assert refused.value.promise == promise


@pytest.mark.parametrize("form", ["int8", "f16"])
def test_flipped_bodies_never_give_another_file(module, form, tmp_path):
    old, new = refreshed(tmp_path, n=60, form=form)
    base, wanted, delta = old.read_bytes(), new.read_bytes(), made(tmp_path, old, new)
    body = zlib.decompress(delta[HEADER:])
    rng, promises = random.Random(5), set()
    for _ in range(150):
        copy = bytearray(body)
        copy[rng.randrange(min(200, len(body)) if rng.random() < 0.3 else len(body))] ^= rng.randrange(1, 256)
        try:
            assert apply(module, base, sealed(delta, bytes(copy))) == wanted
        except PackedFileError as error:
            promises.add(error.promise)
    assert promises == {"body", "result"}


def test_page_updates_its_model_by_delta(browser, bundle, serving, tmp_path):
    """The full model is not on the server any more: what the page has next is from the delta."""
    folder, model = tmp_path / "bundle", tmp_path / "bundle" / "model.sd"
    shutil.copytree(bundle, folder)
    with serving(folder) as url:
        visit(browser, url, ["3", "9"])
        browser.wait(f"{TEXT.format('fact-offline')} === 'works'")
        assert browser.run("return document.getElementById('update').hidden")
        old, new = tmp_path / "old.sd", tmp_path / "new.sd"
        shutil.move(model, old)
        renamed(old, new)
        made(tmp_path, old, new)
        shutil.move(tmp_path / "delta", folder / "update.sdd")
        digest = sha256(new.read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps({"sha256": digest, "bytes": 1}))
        visit(browser, url, ["3", "9"])
        browser.wait("!document.getElementById('update').hidden")
        assert kept(browser) == new.read_bytes()
        browser.click("#reload")
        browser.wait("document.getElementById('app')?.getAttribute('aria-busy') === 'false'")
        shutil.copy(new, model)
        assert browser.run(f"return {SHOWN}") == expected(folder, ["3", "9"])
        assert browser.run(f"return {SHOWN}")[0].startswith("Renamed ")
    browser.errors()


@pytest.mark.parametrize("update", ["another base", "damaged", None])
def test_page_fetches_the_full_model_where_no_delta_fits(update, browser, bundle, serving, tmp_path):
    folder, model = tmp_path / "bundle", tmp_path / "bundle" / "model.sd"
    shutil.copytree(bundle, folder)
    with serving(folder) as url:
        visit(browser, url, ["3"])
        browser.wait(f"{TEXT.format('fact-offline')} === 'works'")
        old = shutil.copy(model, tmp_path / "old.sd")
        renamed(old, tmp_path / "new.sd")
        if update == "another base":
            shutil.copy(tmp_path / "new.sd", model)
            made(folder, model, old)
            (folder / "delta").rename(folder / "update.sdd")
        elif update:
            (folder / "update.sdd").write_bytes(made(tmp_path, old, tmp_path / "new.sd")[:-5])
        shutil.copy(tmp_path / "new.sd", model)
        digest = sha256(model.read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps({"sha256": digest, "bytes": 1}))
        visit(browser, url, ["3"])
        browser.wait("!document.getElementById('update').hidden")
        assert kept(browser) == model.read_bytes()
    browser.errors()


def kept(browser) -> bytes:
    """The model in the browser's cache."""
    return bytes(browser.run(f"return (async () => {{ {KEPT} }})()"))


def renamed(old, new):
    """The same model with other titles."""
    packed = PackedFile.open(old)
    pack(
        new,
        packed.items,
        item_ids=list(packed.vocabulary.ids),
        titles=[f"Renamed {title}" for title in packed.titles],
        similarity=packed.similarity,
        fold_in=packed.fold_in,
    )
