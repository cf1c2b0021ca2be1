"""How well scores tell clicks from other rows: area under the ROC curve and log loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, DataError
from sparsedevice.extras import require

if TYPE_CHECKING:
    from sparsedevice.click_run import ClickRun


def auc(label: NDArray[np.integer], logit: NDArray[np.floating]) -> float:
    """Probability that a random click scores above a random other row, ties counted half.

    The Mann-Whitney form: from the ranks of the clicks, tied scores sharing their mean rank.

    Args:
        label: 0 or 1, [n].
        logit: scores, higher for a click, [n].

    Returns:
        0 to 1; NaN where the labels are all the same.
    """
    n_clicks = int(label.sum())
    n_others = len(label) - n_clicks
    if n_clicks == 0 or n_others == 0:
        return float("nan")
    _, inverse, count = np.unique(logit, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(count) - (count - 1) / 2
    rank_sum = float(mean_rank[inverse[label == 1]].sum())
    return (rank_sum - n_clicks * (n_clicks + 1) / 2) / (n_clicks * n_others)


def log_loss(label: NDArray[np.integer], logit: NDArray[np.floating]) -> float:
    """Mean negative log likelihood of the labels in nats; exact for log-odds of any size."""
    logit = logit.astype(np.float64)
    return float(np.mean(np.logaddexp(0.0, logit) - label * logit))


def click_metrics(label: NDArray[np.integer], logit: NDArray[np.floating]) -> dict[str, Any]:
    """``auc``, ``log_loss``, the number of rows and the share of clicks."""
    return {
        "auc": auc(label, logit),
        "log_loss": log_loss(label, logit),
        "n_rows": len(label),
        "click_rate": float(label.mean()),
    }


def evaluate_clicks(run: str | Path | ClickRun, part: str = "test") -> dict[str, Any]:
    """Metrics of a click run on one of its parts.

    Raises:
        ConfigError: if ``part`` is neither "validation" nor "test".
        DataError: if the run has no such part.
        RunError: if the folder is no finished click run.
        MissingExtraError: if torch is not installed.
    """
    require("torch", extra="train")
    from sparsedevice.click_run import ClickRun

    if part not in ("validation", "test"):
        raise ConfigError(f"part {part!r} is unknown; choose validation or test")
    if not isinstance(run, ClickRun):
        run = ClickRun.load(run)
    wanted = run.validation if part == "validation" else run.test
    if wanted is None or len(wanted) == 0:
        raise DataError(f"the run has no {part} part; split with {part}_fraction above 0")
    return click_metrics(wanted.label, run.model().score(wanted).numpy())
