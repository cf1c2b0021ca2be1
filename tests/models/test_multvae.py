from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.exporters import export
from sparsedevice.models.multvae import encode
from sparsedevice.run import Run
from sparsedevice.training import train


def test_the_divergence_is_that_of_normal_distributions() -> None:
    torch.manual_seed(0)
    values = {"mean": torch.randn(4, 4), "log_variance": torch.randn(4, 4), "bias": torch.randn(4)}
    pooled, noise = torch.randn(3, 4), torch.randn(3, 4)
    query, divergence = encode(pooled, values, noise)
    unit = torch.nn.functional.normalize(pooled)
    mean = unit @ values["mean"].T
    deviation = ((unit @ values["log_variance"].T + values["bias"]) / 2).exp()
    posterior = torch.distributions.Normal(mean, deviation)
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence, expected)
    torch.testing.assert_close(query, torch.nn.functional.normalize(mean + deviation * noise))


@pytest.mark.parametrize("sparsity", [0.0, 0.75])
def test_it_learns_and_its_encoder_is_packed(tmp_path: Path, sparsity: float) -> None:
    run = train(
        "synthetic:users=200,items=60,seed=3",
        tmp_path / "run",
        model="multvae",
        sparsity=sparsity,
        dim=16,
        epochs=30,
        threads=1,
        settings={"batch_users": 25, "temperature": 0.15},
        progress=False,
    )
    assert run.users is None
    assert run.fold_in.matrix is not None
    assert not np.allclose(run.fold_in.matrix, np.eye(16), atol=1e-3)
    assert run.metrics["memory"]["parts"]["model"] == 12 * (2 * 16 * 16 + 16) + 8
    np.testing.assert_array_equal(Run.load(tmp_path / "run").fold_in.matrix, run.fold_in.matrix)
    result = evaluate(tmp_path / "run")
    assert result["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.1
    export(tmp_path / "run", "packed", tmp_path / "bundle", values="f32")
    assert evaluate(tmp_path / "bundle")["recall@20"] == pytest.approx(result["recall@20"], abs=1e-6)
