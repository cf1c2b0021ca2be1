"""A bundle from a run made by hand: what it holds, what it answers, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparsedevice.errors import BundleError, ConfigError, MissingExtraError, SparseDeviceError
from sparsedevice.evaluation import evaluate
from sparsedevice.exporters import TARGETS, Bundle, evaluate_bundle, export, find_target, open_bundle
from sparsedevice.exporters.bundle import write_manifest
from sparsedevice.exporters.targets import backends
from sparsedevice.files import read_json, sha256_file, write_json
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load
from tests.exporters.readme_code import run_readme
from tests.exporters.tiny import N_ITEMS, N_USERS, tiny_run

NAMES = [target.name for target in TARGETS]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """One bundle with users for each target."""
    folder = tmp_path_factory.mktemp("bundles")
    run = tiny_run()
    return {name: export(run, name, folder / name, users=find_target(name).users, k=5) for name in NAMES}


@pytest.fixture
def copy(bundles, tmp_path):
    """A copy of a bundle that a test may damage."""

    def make(name: str):
        return Path(shutil.copytree(bundles[name].path, tmp_path / name))

    return make


@pytest.mark.parametrize("name", NAMES)
def test_manifest_describes_every_file(bundles, name):
    bundle = bundles[name]
    manifest = read_json(bundle.path / "manifest.json")
    assert manifest == bundle.manifest == Bundle.load(bundle.path).manifest
    files = (file for file in bundle.path.rglob("*") if file.is_file())
    on_disk = {file.relative_to(bundle.path).as_posix() for file in files} - {"manifest.json"}
    assert set(manifest["files"]) == on_disk
    assert {"model.sd", "README.md"} <= on_disk
    for file, entry in manifest["files"].items():
        assert entry == {
            "bytes": (bundle.path / file).stat().st_size,
            "sha256": sha256_file(bundle.path / file),
        }
    assert manifest["sizes"]["n_items"] == N_ITEMS
    assert manifest["sizes"]["nnz"] == 2 * N_ITEMS
    assert manifest["data"]["fingerprint"]["train"] == tiny_run().split.train.fingerprint()
    assert manifest["config"]["dim"] == tiny_run().config.dim
    assert manifest["seed"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_reference_ones(bundles, name):
    wanted = load(bundles[name].path / "model.sd", "numpy")
    for backend in dict.fromkeys((None, "core", "numpy", *find_target(name).backends)):
        got = open_bundle(bundles[name].path, backend)
        for history in (["item-3"], ["item-4", "item-8", "none"], []):
            a, b = got.recommend(history=history, k=7), wanted.recommend(history=history, k=7)
            assert a.items == b.items
            assert a.scores.tobytes() == b.scores.tobytes()
            assert a.titles == b.titles
        if find_target(name).users:
            a, b = got.recommend(user="user 3"), wanted.recommend(user="user 3")
            assert a.items == b.items


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_measured_from_the_artefact(bundles, name):
    accuracy = bundles[name].manifest["accuracy"]
    ways = ["folded", "shipped"] if find_target(name).users else ["folded"]
    for way in ways:
        assert accuracy[way]["users"] == way
        # A user's test items are of the user's parity, as are all that rank first.
        assert accuracy[way]["recall@5"] == pytest.approx(1.0)
        assert accuracy[way]["n_users"] == N_USERS
        assert accuracy["agreement"][way]["overlap"] > 0.95
    assert accuracy["trained_model"]["trained"]["recall@5"] == pytest.approx(1.0)
    assert f"{accuracy['folded']['recall@5']:.4f}" in (bundles[name].path / "README.md").read_text()


def test_wrong_tables_measure_badly(tmp_path):
    """The measurement can fail: items whose parities are swapped rank the other half first."""
    run = tiny_run()
    swapped = run.items[np.arange(N_ITEMS) ^ 1]
    bad = type(run)(**{**vars(run), "items": swapped})
    accuracy = export(bad, "packed", tmp_path / "bad", users=True, k=5).manifest["accuracy"]
    assert accuracy["shipped"]["recall@5"] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_without_users_and_without_test(tmp_path, name):
    bundle = export(tiny_run(test=False, users=False), name, tmp_path / "b", k=5)
    assert bundle.manifest["sizes"]["n_users"] == 0
    assert bundle.manifest["accuracy"]["folded"] is None
    assert "no test part" in (bundle.path / "README.md").read_text()
    assert len(bundle.open().recommend(history=["item-1"], k=5)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_export_repeats_to_the_byte(bundles, name, tmp_path):
    again = export(tiny_run(), name, tmp_path / "again", users=find_target(name).users, k=5)
    assert again.manifest == bundles[name].manifest


@pytest.mark.parametrize("name", NAMES)
def test_readme_code_runs(copy, name):
    folder = copy(name)
    if name == "onnx":  # its last Python loads the library that its shell commands build
        text = (folder / "README.md").read_text(encoding="utf-8")
        (shell,) = re.findall(r"```sh\n(.*?)```", text, flags=re.S)
        subprocess.run(["sh", "-e", "-c", shell], cwd=folder, check=True)
    assert all("item-" in printed for printed in run_readme(folder))


def test_evaluate_takes_the_bundle_for_what_it_is(tmp_path):
    """`evaluate` finds the data by the manifest, and refuses data that has changed since."""
    from sparsedevice.data import DataOptions, load_split

    source = "synthetic:users=40,items=30,seed=3"
    options = DataOptions()
    split = load_split(source, options)
    rng = np.random.default_rng(1)
    import scipy.sparse as sp

    items = sp.csr_array(sp.random(split.train.n_items, 8, density=0.4, random_state=rng, dtype=np.float32))
    users = sp.csr_array(sp.random(split.train.n_users, 8, density=0.4, random_state=rng, dtype=np.float32))
    run = type(tiny_run())(
        **{
            **vars(tiny_run()),
            "items": items,
            "users": users,
            "split": split,
            "fold_in": type(tiny_run().fold_in)(),
            "source": {"data": source, "options": options.to_json(), "fingerprint": split.fingerprint()},
        }
    )
    with_users = export(run, "packed", tmp_path / "u", users=True)
    result = evaluate(with_users.path)
    assert result["users"] == "shipped"
    assert result["recall@20"] == with_users.manifest["accuracy"]["shipped"]["recall@20"]
    assert result["folded"]["users"] == "folded"
    without = export(run, "packed", tmp_path / "f")
    assert evaluate(without.path)["users"] == "folded"
    assert "folded" not in evaluate(without.path)

    run.source["fingerprint"] = {**split.fingerprint(), "train": "0" * 64}
    changed = export(run, "packed", tmp_path / "c")
    with pytest.raises(BundleError, match="fingerprint differs"):
        evaluate(changed.path)
    assert evaluate(changed.path, data=source)["users"] == "folded"


def test_unknown_target_and_backend(bundles, tmp_path):
    with pytest.raises(ConfigError, match=f"target 'coreml' is unknown; use one of {', '.join(NAMES)}"):
        export(tiny_run(), "coreml", tmp_path / "b")
    with pytest.raises(ConfigError, match=f"backend 'gpu' is unknown; use one of {', '.join(backends())}"):
        open_bundle(bundles["packed"].path, "gpu")
    with pytest.raises(ConfigError, match="for target 'packed' and has nothing for backend 'onnx'"):
        open_bundle(bundles["packed"].path, "onnx")
    with pytest.raises(ConfigError, match="is a packed file, which backend 'onnx' does not read"):
        open_bundle(bundles["packed"].path / "model.sd", "onnx")
    assert len(open_bundle(bundles["packed"].path / "model.sd").recommend(history=[], k=3)) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "layout", "chosen", "reason"),
    [
        ("int8", "auto", "sliced", "vector kernels"),
        ("f32", "auto", "csr", "not f32"),
        ("int8", "csr", "csr", "it was asked for"),
    ],
)
def test_a_bundle_says_why_its_layout_was_chosen(values, layout, chosen, reason, tmp_path):
    summary = export(tiny_run(), "packed", tmp_path / "b", values=values, layout=layout).summary()
    assert summary["layout"] == chosen
    assert reason in summary["why this layout"]


@pytest.mark.parametrize("name", NAMES)
def test_combinations_that_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="does not carry 'int3' values; use one of"):
        export(tiny_run(), name, tmp_path / "b", values="int3")
    with pytest.raises(ConfigError, match="does not carry layout 'coo'; use one of"):
        export(tiny_run(), name, tmp_path / "b", layout="coo")
    with pytest.raises(ConfigError, match="no user rows to ship; leave out --users"):
        export(tiny_run(users=False), name, tmp_path / "b", users=True)
    with pytest.raises(ConfigError, match="layout 'sliced' holds int8 or int4"):
        export(tiny_run(), name, tmp_path / "b", values="f32", layout="sliced")
    target = find_target(name)
    with pytest.raises(ConfigError, match=f"at most {target.max_dim} columns"):
        target.check(values="int8", layout="auto", users=False, dim=target.max_dim + 1)
    assert list(tmp_path.iterdir()) == []


def test_missing_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    def absent(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, *args, **kwargs)

    import importlib

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'sparsedevice[onnx]'")):
        export(tiny_run(), "onnx", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SparseDeviceError, match="is a file, not a folder"):
        export(tiny_run(), "packed", tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("mine")
    with pytest.raises(SparseDeviceError, match="holds files and is not a bundle; choose another --out"):
        export(tiny_run(), "packed", tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").read_text() == "mine"
    with pytest.raises(SparseDeviceError, match="cannot write"):
        export(tiny_run(), "packed", tmp_path / "file" / "below")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photos"]


def test_a_failing_export_leaves_the_old_bundle(tmp_path, monkeypatch):
    export(tiny_run(), "packed", tmp_path / "b", k=5)
    before = sha256_file(tmp_path / "b" / "manifest.json")
    module = sys.modules["sparsedevice.exporters.export"]

    def fail(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_run(), "packed", tmp_path / "b", k=5)
    assert sha256_file(tmp_path / "b" / "manifest.json") == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    monkeypatch.undo()
    export(tiny_run(), "packed", tmp_path / "b", values="f32", k=5)
    assert Bundle.load(tmp_path / "b").manifest["sizes"]["values"] == "f32"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_what_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="there is no bundle"):
        open_bundle(tmp_path / "nothing")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model.sd").write_bytes(b"x")
    with pytest.raises(BundleError, match="it has no manifest"):
        open_bundle(tmp_path / "half")


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_held_to_its_hash(copy, name):
    folder = copy(name)
    for file in Bundle.load(folder).manifest["files"]:
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[:-1])
        with pytest.raises(BundleError, match=re.escape(f"{file} has {len(whole) - 1} bytes, its manifest")):
            open_bundle(folder)
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        (folder / file).write_bytes(flipped)
        for use in (open_bundle, evaluate_bundle):
            with pytest.raises(
                BundleError, match=re.escape(f"{file} was changed after the export")
            ) as caught:
                use(folder)
            assert "\n" not in str(caught.value)
        (folder / file).unlink()
        with pytest.raises(BundleError, match=re.escape(f"is incomplete: {file} is missing")):
            open_bundle(folder)
        (folder / file).write_bytes(whole)
        open_bundle(folder)


def test_edited_manifests(copy):
    folder = copy("packed")
    path = folder / "manifest.json"
    good = read_json(path)
    write_json(path, {**good, "seed": 1})
    with pytest.raises(BundleError, match=re.escape("manifest.json was edited after the export")):
        open_bundle(folder)
    write_json(path, {**good, "format": 99})
    with pytest.raises(BundleError, match="has format 99, this program reads 1"):
        open_bundle(folder)
    path.write_text("{")
    with pytest.raises(BundleError, match="is not valid JSON"):
        open_bundle(folder)
    content = {key: value for key, value in good.items() if key not in ("files", "manifest_sha256", "format")}
    write_manifest(folder, good["files"], {**content, "target": "abacus"})
    with pytest.raises(BundleError, match="for target 'abacus', which this version does not know"):
        open_bundle(folder)
    # Names that lead out of the folder are no files of the bundle, whatever the manifest's hash.
    manifest = write_manifest(folder, good["files"], content)
    manifest["files"]["../other"] = manifest["files"]["model.sd"]
    from sparsedevice.exporters.bundle import _own_hash

    write_json(path, {**manifest, "manifest_sha256": _own_hash(manifest)})
    with pytest.raises(BundleError, match="is incomplete"):
        open_bundle(folder)


def test_packed_file_swapped_for_another(copy, tmp_path):
    """Another model under this bundle's manifest, of the same size, is found by its hash."""
    folder = copy("packed")
    other = export(tiny_run(), "packed", tmp_path / "other", users=True, k=5, values="int8")
    run = tiny_run()
    run.items.data[:] = run.items.data[::-1]
    other = export(run, "packed", tmp_path / "other", users=True, k=5)
    (folder / "model.sd").write_bytes((other.path / "model.sd").read_bytes())
    with pytest.raises(BundleError, match=r"model\.sd"):
        open_bundle(folder)


def test_summary_and_readme_speak_of_the_same_bundle(bundles):
    bundle = bundles["packed"]
    summary = bundle.summary()
    assert summary["items"] == N_ITEMS
    assert summary["bytes of model.sd"] == len(PackedFile.open(bundle.path / "model.sd").data)
    assert summary["recall@5, users shipped"] == bundle.manifest["accuracy"]["shipped"]["recall@5"]
    assert json.dumps(summary)


def test_docs_list_the_table():
    """docs/exporters.md has one line for each row of the table, saying the same."""
    text = (Path(__file__).parents[2] / "docs" / "exporters.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| `[\w-]+` \|", line) and line.count("|") == 6]
    assert lines == [
        f"| `{t.name}` | {t.summary} | {f'`{t.extra}`' if t.extra else 'none'} | {', '.join(t.values)} |"
        f" {'yes' if t.users else 'no'} |"
        for t in TARGETS
    ]
