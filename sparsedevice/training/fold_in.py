"""Choosing how a history becomes a query: the rule that ranks the validation cut best."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.evaluation.metrics import summarise
from sparsedevice.evaluation.ranking import rank
from sparsedevice.packing.fold_in import FoldIn

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
RIDGES = (0.03, 0.3)
USERS = 3000
ROWS_PER_BLOCK = 1024
# What won on Gowalla and ML-1M; the rule where there is no validation cut to choose by.
DEFAULT_RIDGE = 0.03


def choose_fold_in(
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array | None,
    similarity: str,
    train: scipy.sparse.csr_array,
    validation: scipy.sparse.csr_array | None,
    seed: int,
) -> tuple[FoldIn, dict[str, Any]]:
    """Compare popularity-weighted sums, plain and mapped by a matrix, on at most 3,000 validation users.

    Candidates are weights count^-power for several powers, and for the best of them a dim x dim matrix,
    fitted by ridge regression from the (unit) sums of histories to the (unit) learnt users.

    Args:
        items: item table, csr_array (n_items x dim).
        users: learnt users, csr_array (n_users x dim), or None: then no matrix is fitted.
        similarity: "cosine" or "dot".
        train: histories, csr_array (n_users x n_items).
        validation: what is to be found, csr_array (n_users x n_items), or None: then the default rule.
        seed: of the choice of users.

    Returns:
        The rule, and for metrics its name, its ``power`` and ``ridge``, and the recall@20 of every candidate.
    """
    counts = np.bincount(train.indices, minlength=train.shape[1])
    if validation is None:
        ridge = None if users is None else DEFAULT_RIDGE
        fold_in = make_fold_in(items, users, similarity, train, counts, 0.0, ridge)
        return fold_in, {"rule": rule_name(0.0, ridge), "power": 0.0, "ridge": ridge}
    chosen = np.flatnonzero((np.diff(validation.indptr) > 0) & (np.diff(train.indptr) > 0))
    chosen = np.sort(np.random.default_rng([seed, 5]).permutation(chosen)[:USERS])
    found: dict[str, float] = {}

    def measure(power: float, ridge: float | None) -> tuple[float, FoldIn]:
        fold_in = make_fold_in(items, users, similarity, train, counts, power, ridge)
        top = rank(
            folded_queries(items, similarity, fold_in, train),
            items,
            chosen,
            20,
            seen=train,
        )
        value = summarise(top, validation, chosen)["recall@20"]
        found[rule_name(power, ridge)] = value
        return value, fold_in

    best, best_power = -1.0, POWERS[0]
    best_ridge: float | None = None
    best_rule = FoldIn()
    for power in POWERS:
        value, fold_in = measure(power, None)
        if value > best:
            best, best_power, best_rule = value, power, fold_in
    if users is not None:
        for power in sorted({best_power, max(0.0, best_power - 0.25)}):
            for ridge in RIDGES:
                value, fold_in = measure(power, ridge)
                if value > best:
                    best, best_rule, best_power, best_ridge = value, fold_in, power, ridge
    return best_rule, {
        "rule": rule_name(best_power, best_ridge),
        "power": best_power,
        "ridge": best_ridge,
        "validation_recall@20": found,
    }


def same_fold_in(
    chosen: dict[str, Any],
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array | None,
    similarity: str,
    train: scipy.sparse.csr_array,
) -> tuple[FoldIn, dict[str, Any]]:
    """The rule that ``choose_fold_in`` named in ``chosen``, for other tables; with its metrics."""
    counts = np.bincount(train.indices, minlength=train.shape[1])
    power, ridge = chosen["power"], chosen["ridge"]
    fold_in = make_fold_in(items, users, similarity, train, counts, power, ridge)
    return fold_in, {"rule": rule_name(power, ridge), "power": power, "ridge": ridge}


def rule_name(power: float, ridge: float | None) -> str:
    """How metrics name a rule."""
    return f"count^-{power:g}" + ("" if ridge is None else f", ridge {ridge:g}")


def make_fold_in(
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array | None,
    similarity: str,
    train: scipy.sparse.csr_array,
    counts: NDArray[np.int64],
    power: float,
    ridge: float | None,
) -> FoldIn:
    """The rule with weights count^-power, and the ridge matrix where ``ridge`` is given."""
    weights = None
    if power:
        weights = (np.maximum(counts, 1) / max(1, counts.max())) ** -power
        weights = (weights / weights.max()).astype(np.float32)
    if ridge is None:
        return FoldIn(weights)
    assert users is not None
    return FoldIn(weights, _ridge(items, users, similarity, train, FoldIn(weights), ridge))


def _ridge(
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array,
    similarity: str,
    train: scipy.sparse.csr_array,
    fold_in: FoldIn,
    ridge: float,
) -> NDArray[np.float32]:
    """A with A s ≈ u, from normal equations; ``ridge`` is relative to the mean eigenvalue."""
    dim = items.shape[1]
    gram, cross = np.zeros((dim, dim)), np.zeros((dim, dim))
    queries = folded_queries(items, similarity, fold_in, train)
    with_history = np.flatnonzero(np.diff(train.indptr) > 0)
    for start in range(0, len(with_history), ROWS_PER_BLOCK):
        rows = with_history[start : start + ROWS_PER_BLOCK]
        history = queries(rows).astype(np.float64)
        target = users[rows].toarray().astype(np.float64)
        gram += history.T @ history
        cross += history.T @ target
    gram += np.eye(dim) * (ridge * np.trace(gram) / dim + 1e-12)
    return np.ascontiguousarray(np.linalg.solve(gram, cross).T.astype(np.float32))
