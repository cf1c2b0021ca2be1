"""Metrics against torchmetrics, against their formulas by hand, and rankings against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_normalized_dcg, retrieval_recall

from sparsedevice.evaluation import ranking
from sparsedevice.evaluation.metrics import summarise
from sparsedevice.evaluation.ranking import rank, top_k


@pytest.mark.parametrize("k", [1, 5, 20])
def test_metrics_agree_with_torchmetrics(k: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((40, 50)).astype(np.float32)
    relevant = scipy.sparse.csr_array((rng.random((40, 50)) < 0.15).astype(np.float32))
    users = np.flatnonzero(np.diff(relevant.indptr) > 0)
    ours = summarise(top_k(scores[users], k), relevant, users)
    theirs: dict[str, list[float]] = {"recall": [], "ndcg": [], "hit_rate": []}
    for user in users:
        score = torch.from_numpy(scores[user])
        target = torch.from_numpy(relevant[[user]].toarray()[0] > 0)
        theirs["recall"].append(float(retrieval_recall(score, target, top_k=k)))
        theirs["ndcg"].append(float(retrieval_normalized_dcg(score, target, top_k=k)))
        theirs["hit_rate"].append(float(retrieval_hit_rate(score, target, top_k=k)))
    for name, values in theirs.items():
        assert ours[f"{name}@{k}"] == pytest.approx(np.mean(values), rel=1e-5)


def test_definitions_by_hand() -> None:
    relevant = scipy.sparse.csr_array(np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=np.float32))
    top = np.array([[0, 3], [4, 5]])
    out = summarise(top, relevant, np.array([0, 1]))
    # User 0 finds one of three (the divisor is 3, not k = 2); user 1 finds her one in the second place.
    assert out["recall@2"] == pytest.approx((1 / 3 + 1) / 2)
    ideal = 1 + 1 / np.log2(3)
    assert out["ndcg@2"] == pytest.approx((1 / ideal + 1 / np.log2(3)) / 2)
    assert out["hit_rate@2"] == 1
    assert out["coverage@2"] == pytest.approx(4 / 6)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000), columns=st.integers(1, 30), k=st.integers(1, 12), levels=st.integers(1, 5)
)
def test_top_k_is_a_stable_sort_even_among_ties(seed: int, columns: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (6, columns)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)
    expected[np.take_along_axis(scores, expected, axis=1) == -np.inf] = -1
    np.testing.assert_array_equal(top_k(scores, k), expected)


def test_rank_excludes_the_seen_and_agrees_with_dense_products(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    items = scipy.sparse.random_array((37, 8), density=0.5, rng=rng, dtype=np.float32).tocsr()
    users = rng.standard_normal((23, 8)).astype(np.float32)
    seen = scipy.sparse.csr_array((rng.random((23, 37)) < 0.3).astype(np.float32))
    scale = rng.random(37).astype(np.float32) + 0.5
    scores = (users @ items.toarray().T) * scale
    scores[seen.toarray() > 0] = -np.inf
    chosen = np.array([3, 22, 0, 7, 8])
    expected = np.argsort(-scores[chosen], axis=1, kind="stable")[:, :5]
    monkeypatch.setattr(ranking, "SCORE_BYTES", 4 * 37 * 2)  # blocks of two users
    top = rank(lambda rows: users[rows], items, chosen, 5, seen=seen, row_scale=scale)
    np.testing.assert_array_equal(top, expected)


def test_rank_marks_places_that_cannot_be_filled() -> None:
    items = scipy.sparse.csr_array(np.eye(3, dtype=np.float32))
    seen = scipy.sparse.csr_array(np.array([[1, 1, 0]], dtype=np.float32))
    top = rank(lambda rows: np.ones((len(rows), 3), np.float32), items, np.array([0]), 2, seen=seen)
    assert top.tolist() == [[2, -1]]
