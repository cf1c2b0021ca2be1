"""What the ES module does beyond the common interface: loading, damaged files, search."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sparsedevice import load
from sparsedevice.errors import ConfigError, PackedFileError, SparseDeviceError, UnknownIdError
from sparsedevice.packing import PackedFile, pack
from tests.runtime.conformance import random_rows
from tests.web.module_recommender import ModuleRecommender, NodeModule, call

pytestmark = pytest.mark.usefixtures("node")
TITLES = ["Amélie", "The Amber Road", "A Road to Nowhere", "Broadway", "", "Roadside Picnic", "東京物語"]


@pytest.fixture(scope="module")
def module(assets):
    running = NodeModule(assets)
    yield running
    running.close()


@pytest.fixture(scope="module")
def titled(tmp_path_factory):
    path = tmp_path_factory.mktemp("titled") / "model.sd"
    rows = random_rows(np.random.default_rng(1), len(TITLES), 8)
    pack(path, rows, item_ids=[f"id {i} ü" for i in range(len(TITLES))], titles=TITLES)
    return path


def test_search_ignores_case_and_accents_and_puts_beginnings_first(module, titled):
    recommender = ModuleRecommender(module.send, str(titled))

    def found(text, limit=10):
        return [item["title"] for item in recommender.search(text, limit)]

    assert found("AMELIE") == ["Amélie"]
    assert found("road") == [
        "Roadside Picnic",
        *sorted_by_row(titled, ["The Amber Road", "A Road to Nowhere"]),
        "Broadway",
    ]
    assert found("road", 1) == ["Roadside Picnic"]
    assert found("nowhere road") == ["A Road to Nowhere"]
    assert found("東京") == ["東京物語"]
    assert found("id 4") == [""], "an item without a title is found by its id"
    assert found("   ") == found("xyzzy") == []


def sorted_by_row(path, titles):
    known = PackedFile.open(path).titles
    return sorted(titles, key=list(known).index)


def test_titles_and_ids(module, titled):
    recommender = ModuleRecommender(module.send, str(titled))
    assert call(module.send, "title", handle=recommender._handle, item="id 6 ü") == "東京物語"
    assert call(module.send, "has", handle=recommender._handle, item="id 6 ü")
    assert not call(module.send, "has", handle=recommender._handle, item="id 6 u")
    with pytest.raises(UnknownIdError, match='unknown item "nobody"'):
        call(module.send, "title", handle=recommender._handle, item="nobody")


def test_long_ids(module, tmp_path):
    ids = ["x" * 60_000, "é" * 30_000, "y" * 49, "z" * 48]
    pack(tmp_path / "long.sd", random_rows(np.random.default_rng(0), 4, 8), item_ids=ids)
    recommender = ModuleRecommender(module.send, str(tmp_path / "long.sd"))
    answer = recommender.recommend(history=["x" * 70_000, ids[0]], exclude="none", k=9)
    assert sorted(answer.items) == sorted(ids)
    assert answer.unknown == ["x" * 70_000]


def test_many_ids_grow_the_memory(module, titled):
    recommender = ModuleRecommender(module.send, str(titled))
    many = [f"unknown {i}" for i in range(60_000)]
    answer = recommender.recommend(history=[*many, "id 0 ü"], candidates=many, k=3)
    assert len(answer.unknown) == 120_000
    assert answer.items == []
    wanted = load(titled).recommend(history=["id 0 ü"], k=3)
    assert recommender.recommend(history=["id 0 ü"], k=3).items == wanted.items


@pytest.mark.parametrize(
    ("promise", "damage"),
    [
        ("magic", lambda data: b"x" + data[1:]),
        ("version", lambda data: data[:8] + b"\x09" + data[9:]),
        ("truncated", lambda data: data[: len(data) // 2]),
        ("truncated", lambda data: data[:0]),
        ("header-checksum", lambda data: data[:17] + bytes([data[17] ^ 1]) + data[18:]),
        ("checksum", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("extent", lambda data: data + b"\0"),
    ],
)
def test_damaged_files(promise, damage, module, titled, tmp_path):
    path = tmp_path / "damaged.sd"
    path.write_bytes(damage(titled.read_bytes()))
    with pytest.raises(PackedFileError) as raised:
        ModuleRecommender(module.send, str(path))
    assert raised.value.promise == promise


def test_any_single_byte_changed_is_refused(module, titled, tmp_path):
    data = titled.read_bytes()
    for at in np.random.default_rng(3).choice(len(data), 60, replace=False):
        path = tmp_path / "changed.sd"
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        with pytest.raises(PackedFileError):
            ModuleRecommender(module.send, str(path))


def test_unverified_damage_never_crashes(module, titled, tmp_path):
    """Without verification damaged sections give wrong numbers or a refusal, and no trap of WebAssembly."""
    data = bytearray(titled.read_bytes())
    first = PackedFile.open(titled).sections
    start = min(section.offset for section in first.values())
    checked = set()  # what each opening checks: the first bytes of codes and indices
    for kind, section in first.items():
        if kind.name.endswith(("ID_BYTES", "TITLE_BYTES", "ID_INDEX")):
            checked.update(range(section.offset, section.offset + 20))
    rng = np.random.default_rng(5)
    for turn in range(40):
        damaged = data.copy()
        for at in set(rng.integers(start, len(data), 30).tolist()) - checked:
            damaged[at] = int(rng.integers(256))
        path = tmp_path / f"damaged-{turn}.sd"
        path.write_bytes(damaged)
        recommender = ModuleRecommender(module.send, str(path), verify=False)
        answer = recommender.recommend(history=["id 0 ü", "id 3 ü"], k=5)
        assert len(answer.items) <= 5
        recommender.search("road", 5)


def test_missing_file_and_bad_options(module, titled, tmp_path):
    with pytest.raises(SparseDeviceError, match=r"cannot read .*nothing\.sd"):
        ModuleRecommender(module.send, str(tmp_path / "nothing.sd"))
    with pytest.raises(ConfigError, match="simd is"):
        ModuleRecommender(module.send, str(titled), simd="yes")
    with pytest.raises(ConfigError, match="the model is 7"):
        ModuleRecommender(module.send, 7)  # type: ignore[arg-type]
    with pytest.raises(SparseDeviceError, match="does not start"):
        ModuleRecommender(module.send, str(titled), wasm=titled.as_uri())


def test_short_memory_is_a_sentence(module, titled):
    """Where the memory cannot grow the call is refused, and the recommender goes on."""
    said = run_node("short_memory.mjs", module.url, str(titled)).splitlines()
    assert said[0].startswith("SparseDeviceError there is not enough memory for ")
    assert said[1] == "2"


def test_streamed_from_a_server(module, titled):
    """A response of known length goes straight into place; a missing or a broken one is a sentence."""
    size = titled.stat().st_size
    first, missing, broken = run_node("streaming.mjs", module.url, str(titled)).splitlines()
    assert first == f"[{size},{size}] true true"
    assert missing.startswith("SparseDeviceError cannot load http://127.0.0.1")
    assert missing.endswith("HTTP 404")
    assert broken.startswith("SparseDeviceError the model stopped loading after ")


def test_readme_example_runs(bundle):
    readme = (bundle / "README.md").read_text(encoding="utf-8")
    code = readme.split("```js\n")[1].split("```")[0]
    (bundle / "example.mjs").write_text(code, encoding="utf-8")
    try:
        said = subprocess.run(
            ["node", "example.mjs"], cwd=bundle, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    finally:
        (bundle / "example.mjs").unlink()
    assert len(said) == 10
    wanted = load(bundle / "model.sd").recommend(history=_history(code), k=10)
    assert [line.split()[0] for line in said] == wanted.items


def _history(code):
    return json.loads(code.split("history: ")[1].split(", k:")[0])


def run_node(script, *arguments):
    command = ["node", str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
