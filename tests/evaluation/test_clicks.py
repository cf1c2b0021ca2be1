from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_auroc

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.load_clicks import load_clicks
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.evaluation.clicks import auc, evaluate_clicks, log_loss
from sparsedevice.training.clicks import train_clicks


@pytest.mark.parametrize("distinct", [3, 50, 100_000])
@pytest.mark.parametrize("seed", range(3))
def test_auc_and_log_loss_agree_with_other_libraries(distinct: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logit = rng.integers(0, distinct, 400).astype(np.float32) * (8 / distinct) - 4
    label = (rng.random(400) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    expected = binary_auroc(
        torch.from_numpy(logit).sigmoid(), torch.from_numpy(label).long(), thresholds=None
    )
    assert auc(label, logit) == pytest.approx(float(expected), abs=1e-6)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logit).double(), torch.from_numpy(label).double()
    )
    assert log_loss(label, logit) == pytest.approx(float(bce), rel=1e-12)


def test_auc_and_log_loss_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    logit = np.round(rng.standard_normal(1000), 1)
    label = (rng.random(1000) < 0.3).astype(np.uint8)
    assert auc(label, logit) == pytest.approx(metrics.roc_auc_score(label, logit), abs=1e-12)
    expected = metrics.log_loss(label, 1 / (1 + np.exp(-logit)))
    assert log_loss(label, logit) == pytest.approx(expected, rel=1e-9)


def test_extremes() -> None:
    label = np.array([0, 0, 1, 1], np.uint8)
    assert auc(label, np.array([1.0, 2, 3, 4])) == 1.0
    assert auc(label, np.array([4.0, 3, 2, 1])) == 0.0
    assert auc(label, np.zeros(4)) == 0.5
    assert math.isnan(auc(np.ones(4, np.uint8), np.zeros(4)))
    assert log_loss(label, np.array([-1000.0, -1000, 1000, 1000])) == 0.0
    assert log_loss(label, np.array([1000.0, -1000, 1000, 1000])) == 250.0


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_text("".join(f"{n % 2}\tu{n % 5}\ti{n % 7}\n" for n in range(200)))
    settings = {"dim": 4, "sparsity": 0.5, "epochs": 1, "threads": 1}
    split = load_clicks(path, ClickOptions(test_fraction=0))
    run = train_clicks(split, tmp_path / "run", settings=settings, progress=False)
    assert "test" not in run.metrics
    with pytest.raises(DataError, match="no test part"):
        evaluate_clicks(tmp_path / "run")
    with pytest.raises(ConfigError, match="choose validation or test"):
        evaluate_clicks(run, "train")
    assert evaluate_clicks(run, "validation")["n_rows"] == 20
