from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.errors import ConfigError
from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.exporters import export
from sparsedevice.models.multvae import encode, initial_values
from sparsedevice.packing import Tower
from sparsedevice.packing.tower import tower_size
from sparsedevice.run import Run
from sparsedevice.training import train


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_divergence_is_that_of_normal_distributions(hidden: int) -> None:
    torch.manual_seed(0)
    values = {name: torch.randn(value.shape) for name, value in initial_values(4, hidden, 0).items()}
    pooled, noise = torch.randn(3, 4), torch.randn(3, hidden or 4)
    query, divergence = encode(pooled, values, noise)
    found = torch.nn.functional.normalize(pooled)
    if hidden:
        found = (found @ values["input"].T + values["input_bias"]).tanh()
    mean = found @ values["mean"].T
    deviation = ((found @ values["log_variance"].T + values["bias"]) / 2).exp()
    posterior = torch.distributions.Normal(mean, deviation)
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence, expected)
    drawn = mean + deviation * noise
    if hidden:
        drawn = (drawn @ values["decoder"].T + values["decoder_bias"]).tanh()
        drawn = drawn @ values["output"].T + values["output_bias"]
    torch.testing.assert_close(query, torch.nn.functional.normalize(drawn))


@pytest.mark.parametrize(("sparsity", "hidden"), [(0.0, 0), (0.75, 12)])
def test_it_learns_and_its_encoder_is_packed(tmp_path: Path, sparsity: float, hidden: int) -> None:
    run = train(
        "synthetic:users=200,items=60,seed=3",
        tmp_path / "run",
        model="multvae",
        sparsity=sparsity,
        dim=16,
        epochs=30,
        threads=1,
        settings={"batch_users": 25, "temperature": 0.15, "hidden": hidden},
        progress=False,
    )
    assert run.users is None
    loaded = Run.load(tmp_path / "run").fold_in
    start = initial_values(16, hidden, 0)
    if hidden:
        assert isinstance(run.fold_in.rule, Tower)
        assert isinstance(loaded.rule, Tower)
        assert not np.allclose(run.fold_in.rule.layers[0][0], start["input"], atol=1e-2)
        np.testing.assert_array_equal(loaded.rule.to_array(), run.fold_in.rule.to_array())
    else:
        assert run.fold_in.matrix is not None
        assert not np.allclose(run.fold_in.matrix, start["mean"], atol=1e-2)
        np.testing.assert_array_equal(loaded.matrix, run.fold_in.matrix)
    assert run.metrics["memory"]["parts"]["model"] == 12 * sum(v.numel() for v in start.values()) + 8
    result = evaluate(tmp_path / "run")
    assert result["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.1
    export(tmp_path / "run", "packed", tmp_path / "bundle", values="f32")
    assert evaluate(tmp_path / "bundle")["recall@20"] == pytest.approx(result["recall@20"], abs=1e-6)


def test_hidden_layers_are_refused_where_they_do_not_fit(tmp_path: Path) -> None:
    for settings, sentence in (
        ({"model": "multvae", "dim": 8, "settings": {"hidden": 9}}, "wider than the table's 8 columns"),
        ({"model": "pooled", "settings": {"hidden": 4}}, "model 'pooled' has no hidden layers"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            train("synthetic:users=60,items=20", tmp_path / "run", progress=False, **settings)


def test_a_budget_counts_the_dense_layers(tmp_path: Path) -> None:
    run = train(
        "synthetic:users=60,items=30",
        tmp_path / "run",
        model="multvae",
        epochs=1,
        budget="24KB",
        settings={"hidden": 32},
        progress=False,
    )
    assert run.config.dim is not None
    assert 4 * tower_size(3, 32, run.config.dim) < run.metrics["budget"]["bytes"] <= 24_000
