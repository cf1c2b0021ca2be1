"""What an artefact is worth, measured through its own runtime, and its agreement with the trained model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.evaluation import evaluate_recommender, evaluate_run
from sparsedevice.evaluation.folding import folded_queries, inverse_norms
from sparsedevice.evaluation.ranking import rank, table_queries
from sparsedevice.pack_run import known_before_test
from sparsedevice.run import Run
from sparsedevice.runtime import Recommender

#: Users whose rankings are compared with the trained model's.
AGREEMENT_USERS = 500


def measure(
    recommender: Recommender, run: Run, *, users: bool, k: int, max_users: int | None = None
) -> dict[str, Any]:
    """Accuracy of an artefact on the run's test part, and its agreement with the trained model.

    Args:
        recommender: the artefact.
        run: the run that it was made of.
        users: whether the artefact ships user rows.
        k: length of the rankings.
        max_users: test users to take; None takes all.

    Returns:
        ``k``; ``shipped`` and ``folded``: metrics of the artefact, asked by user and by history, None where
        not measured; ``trained_model``: the trained model's in float32, with ``trained`` rows and ``folded``
        histories; ``agreement``: for ``shipped`` and ``folded`` the mean share ``overlap`` of the trained
        model's first k that are among the artefact's first k, over ``n_users``.
    """
    ways = ("shipped", "folded") if users else ("folded",)
    has_test = run.split.test is not None and len(run.split.test) > 0
    out: dict[str, Any] = {"k": k, "shipped": None, "folded": None, "trained_model": {}, "agreement": {}}
    for way in ways:
        if has_test:
            out[way] = evaluate_recommender(recommender, run.split, k, way, max_users=max_users)  # type: ignore[arg-type]
        out["agreement"][way] = _agreement(recommender, run, way, k)
    if has_test:
        out["trained_model"] = {"folded": evaluate_run(run, k=k, users="folded")}
        if run.users is not None:
            out["trained_model"]["trained"] = evaluate_run(run, k=k, users="trained")
    if not has_test:
        out["note"] = "not measured: the data has no test part"
    elif max_users is not None:
        out["note"] = f"the artefact was measured on at most {max_users} users, the trained model on all"
    return out


def _agreement(recommender: Recommender, run: Run, way: str, k: int) -> dict[str, Any]:
    train = run.split.train
    seen = known_before_test(run.split)
    n_users = train.n_users
    chosen: NDArray[np.int64] = np.arange(n_users)
    if n_users > AGREEMENT_USERS:
        chosen = np.sort(np.random.default_rng(0).choice(n_users, AGREEMENT_USERS, replace=False))
    if way == "shipped":
        assert run.users is not None
        queries = table_queries(run.users)
    else:
        queries = folded_queries(run.items, run.similarity, run.fold_in, seen)
    scale = inverse_norms(run.items) if run.similarity == "cosine" else None
    trained = rank(queries, run.items, chosen, k, seen=seen, row_scale=scale, network=run.network)
    item_ids = train.item_ids
    overlaps = []
    for user, row in enumerate(trained):
        at = chosen[user]
        history = [item_ids.ids[i] for i in seen.indices[seen.indptr[at] : seen.indptr[at + 1]]]
        if way == "shipped":
            answer = recommender.recommend(user=train.user_ids.ids[at], k=k, exclude="seen")
        else:
            answer = recommender.recommend(history=history, k=k)
        wanted = row[row >= 0]
        if len(wanted):
            overlaps.append(np.isin(wanted, item_ids.rows(answer.items)).mean())
    return {"overlap": float(np.mean(overlaps)) if overlaps else 1.0, "n_users": len(overlaps)}
