from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.errors import ConfigError, PackedFileError
from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.exporters import evaluate_bundle, export, open_bundle
from sparsedevice.models.neumf import PAIR_ITEMS, initial_network, pair_gradients_, pair_scores
from sparsedevice.packing import PackedFile, compact
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.profile import profile
from sparsedevice.run import Run
from sparsedevice.runtime import load
from sparsedevice.sweep import sweep
from sparsedevice.training import train

WORLD = "synthetic:users=200,items=60,seed=3"


def written_out(users: np.ndarray, items: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
    """The scores as the paper writes them, one pair at a time."""
    g = len(values["gmf"])
    found = np.zeros((len(users), len(items)))
    for u, p in enumerate(users):
        for i, q in enumerate(items):
            first = np.concatenate([values["user"], values["item"]], axis=1) @ np.concatenate([p[g:], q[g:]])
            second = values["second"] @ np.maximum(first + values["bias"], 0) + values["second_bias"]
            last = np.concatenate([p[:g] * q[:g], np.maximum(second, 0)])
            found[u, i] = np.concatenate([values["gmf"], values["output"]]) @ last
    return found


def test_scores_and_gradients_are_those_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    values = {n: torch.randn(v.shape, generator=generator) for n, v in initial_network(7, 4, 0).items()}
    users, items = (torch.randn(n, 7, generator=generator) for n in (3, PAIR_ITEMS + 5))
    wanted = written_out(users.numpy(), items.numpy(), {n: v.numpy() for n, v in values.items()})
    np.testing.assert_allclose(pair_scores(users, items, values).numpy(), wanted, rtol=1e-4, atol=1e-4)
    network = PairNetwork(**{name: value.numpy() for name, value in values.items()})
    np.testing.assert_allclose(network.scores(users.numpy(), items.numpy()), wanted, rtol=1e-4, atol=1e-4)
    slope = torch.randn(3, len(items), generator=generator)
    leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
    x, y = users.clone().requires_grad_(), items.clone().requires_grad_()
    (pair_scores(x, y, leaves) * slope).sum().backward()
    of_users, found = torch.zeros_like(users), {n: torch.zeros_like(v) for n, v in values.items()}
    torch.testing.assert_close(pair_gradients_(users, items, values, slope, of_users, found), y.grad)
    torch.testing.assert_close(of_users, x.grad)
    for name, leaf in leaves.items():
        torch.testing.assert_close(found[name], leaf.grad, rtol=1e-4, atol=1e-3)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("neumf") / "run"
    train(
        WORLD, out, model="neumf", sparsity=0.5, dim=16, epochs=25, threads=1, progress=False,
        settings={"batch_users": 25, "hidden": 8, "validation_every": 5},
    )  # fmt: skip
    return out


def test_it_learns_and_a_run_folder_keeps_it(run: Path) -> None:
    loaded = Run.load(run)
    assert loaded.network is not None
    assert loaded.fold_in.rule is None
    start = initial_network(16, 8, 0)
    assert all(
        not np.allclose(array, start[name], atol=1e-3) for name, array in loaded.network.arrays().items()
    )
    found = evaluate(run)
    least = popularity_arm(loaded.split)["recall@20"]
    assert found["recall@20"] > least + 0.1
    assert found["folded"]["recall@20"] > least + 0.05


@pytest.mark.parametrize("target", ["onnx", "executorch"])
def test_an_artefact_answers_as_the_reference(run: Path, tmp_path: Path, target: str) -> None:
    pytest.importorskip(target)
    export(run, target, tmp_path / "bundle", values="int8", users=True, max_users=20)
    packed = PackedFile.open(tmp_path / "bundle" / "model.sd")
    assert packed.network is not None
    wanted, got = load(tmp_path / "bundle" / "model.sd", "numpy"), open_bundle(tmp_path / "bundle")
    items, users = packed.vocabulary.ids, packed.user_vocabulary
    assert users is not None
    questions = [
        {"history": [items[3], items[9], items[41], "nobody"]},
        {"history": [], "exclude": [items[0]]},
        {"user": users.ids[5]},
        {"history": [items[7]], "candidates": [items[2], items[11]], "exclude": "none"},
    ]
    for question in questions:
        one, other = (each.recommend(k=12, **question) for each in (wanted, got))
        assert one.items == other.items
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-6)
    assert wanted.similar(items[8], k=7).items == got.similar(items[8], k=7).items
    if target == "onnx":
        trained, exported = evaluate(run), evaluate_bundle(tmp_path / "bundle")
        assert exported["recall@20"] == pytest.approx(trained["recall@20"], abs=0.02)
    for code in re.findall(
        r"```python\n(.*?)```", (tmp_path / "bundle" / "README.md").read_text(), re.DOTALL
    ):
        with contextlib.chdir(tmp_path / "bundle"):
            exec(code, {})
    found = profile(tmp_path / "bundle")
    assert found["time"] is None
    assert found["bytes"]["groups"]["network"] == {"pair network": len(packed.network.to_bytes())}
    with pytest.raises(ConfigError, match="the C core does not run"):
        open_bundle(tmp_path / "bundle", "core")
    with pytest.raises(PackedFileError, match="with its own backend"):
        load(tmp_path / "bundle" / "model.sd")
    with pytest.raises(ConfigError, match="no delta and no compact coding"):
        compact(tmp_path / "bundle" / "model.sd", tmp_path / "small.sdz")


def test_what_does_not_go_with_a_network_is_refused(run: Path, tmp_path: Path) -> None:
    for target in ("packed", "c", "web", "android", "executorch-native"):
        with pytest.raises(ConfigError, match="does not carry model 'neumf'"):
            export(run, target, tmp_path / "bundle")
    for settings, sentence in (
        ({"method": "magnitude"}, "prunes by what rows are"),
        ({"budget": "20KB"}, "takes no budget"),
        ({"settings": {"fold_in": "steps"}}, "cosine scores"),
        ({"settings": {"hidden": 0}}, "a hidden layer of a unit"),
        ({"model": "mf", "settings": {"teacher": str(run)}}, "only cosines are taught"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            train(WORLD, tmp_path / "out", **{"model": "neumf", "epochs": 1, "progress": False, **settings})
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(ConfigError, match="sweep measures packed files"):
        sweep(WORLD, tmp_path / "sweep", grid={"model": ["mf", "neumf"]})
