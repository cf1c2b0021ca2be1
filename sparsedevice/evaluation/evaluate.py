"""``evaluate``: the accuracy of a run folder, of a bundle, or of anything that answers ``recommend``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, DataError, RunError
from sparsedevice.evaluation.folding import folded_queries, inverse_norms
from sparsedevice.evaluation.metrics import summarise
from sparsedevice.evaluation.ranking import Queries, rank, table_queries

if TYPE_CHECKING:
    from sparsedevice.data import Split
    from sparsedevice.run import Run
    from sparsedevice.runtime import Recommender

Users = Literal["trained", "folded"]


def evaluate(run_or_bundle: str | Path, data: str | Path | None = None, k: int = 20) -> dict[str, Any]:
    """Rank all items for every test user, train and validation items excluded.

    Args:
        run_or_bundle: a run folder, or a bundle (a folder with a ``manifest.json``).
        data: what to evaluate on, where not the run's own test part.
        k: length of the ranking.

    Returns:
        ``recall@k``, ``ndcg@k``, ``hit_rate@k``, ``coverage@k``, ``n_users``, ``n_items``, ``users``
        ("trained" rows or "folded" histories), and the folded figures under ``folded``; for a run on a
        click log ``auc`` and ``log_loss`` of its test rows.

    Raises:
        RunError: if the folder is no run.
        BundleError: if the bundle is damaged.
        DataError: if there is no test part.
        ConfigError: if other data is given for a run on a click log.
    """
    path = Path(run_or_bundle)
    if (path / "manifest.json").exists():
        from sparsedevice.exporters import evaluate_bundle

        result: dict[str, Any] = evaluate_bundle(path, data=data, k=k)
        return result
    if (path / "clicks.safetensors").exists():
        from sparsedevice.evaluation.clicks import evaluate_clicks

        if data is not None:
            raise ConfigError("a click run is evaluated on its own test part; leave --data out")
        return evaluate_clicks(path)
    from sparsedevice.run import Run

    run = Run.load(path)
    if data is not None:
        run = _with_data(run, data)
    result = evaluate_run(run, k=k, users="folded" if run.users is None else "trained")
    if run.users is not None:
        result["folded"] = evaluate_run(run, k=k, users="folded")
    return result


def evaluate_run(run: Run, *, part: str = "test", k: int = 20, users: Users = "trained") -> dict[str, Any]:
    """Metrics of a run's own tables in float32.

    Args:
        run: the run.
        part: "test" or "validation"; everything before it is excluded from the rankings.
        k: length of the ranking.
        users: "trained" rows, or users "folded" in from their histories (all items before ``part``).

    Raises:
        DataError: if the split has no such part.
        RunError: if trained users are asked of a model without user rows.
    """
    relevant, seen, rows = split_parts(run.split, part)
    scale = inverse_norms(run.items) if run.similarity == "cosine" else None
    queries: Queries
    if users == "folded":
        queries = folded_queries(run.items, run.similarity, run.fold_in, seen)
    else:
        table = run.users
        if table is None:
            raise RunError("this run has no user rows; evaluate it with users folded in from their histories")
        queries = table_queries(table)
    top = rank(queries, run.items, rows, k, seen=seen, row_scale=scale, network=run.network)
    return report(top, relevant, rows, users)


def evaluate_recommender(
    recommender: Recommender,
    split: Split,
    k: int = 20,
    users: Literal["shipped", "folded"] = "folded",
    *,
    part: str = "test",
    max_users: int | None = None,
) -> dict[str, Any]:
    """Metrics of a packed artefact through its own ``recommend``, one user after the other.

    Args:
        recommender: any backend.
        split: the data; its vocabularies name the users and items.
        k: length of the ranking.
        users: "shipped" asks by user id, "folded" gives the history's item ids. Both exclude what was seen
            before ``part``; with shipped users, what the file carries as seen and the same items by id.
        part: "test" or "validation".
        max_users: evaluate a fixed random choice of this many users; None takes all.

    Raises:
        DataError: if the split has no such part.
    """
    relevant, seen, rows = split_parts(split, part)
    if max_users is not None and len(rows) > max_users:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:max_users])
    user_ids, items = split.train.user_ids.ids, split.train.item_ids
    item_ids = items.ids
    top = np.full((len(rows), k), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        history = [item_ids[i] for i in seen.indices[seen.indptr[row] : seen.indptr[row + 1]]]
        if users == "shipped":
            answer = recommender.recommend(user=user_ids[row], k=k, exclude=history)
        else:
            answer = recommender.recommend(history=history, k=k)
        chosen = items.rows(answer.items)
        top[place, : len(chosen)] = chosen
    return report(top, relevant, rows, users)


def report(
    top: NDArray[np.int64], relevant: scipy.sparse.csr_array, rows: NDArray[np.int64], users: str
) -> dict[str, Any]:
    """Metrics of rankings, with the counts that they are over and whose queries they came from."""
    return {
        **summarise(top, relevant, rows),
        "n_users": len(rows),
        "n_items": relevant.shape[1],
        "users": users,
    }


def split_parts(
    split: Split, part: str
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array, NDArray[np.int64]]:
    """What is to be found, what was seen before, and the users who have something to find."""
    if part not in ("validation", "test"):
        raise ConfigError(f"part {part!r} is unknown; choose validation or test")
    wanted = getattr(split, part)
    if wanted is None or len(wanted) == 0:
        raise DataError(f"the data has no {part} part to evaluate on; split with --test-fraction above 0")
    seen = split.train.matrix()
    if part == "test" and split.validation is not None:
        seen = scipy.sparse.csr_array(seen + split.validation.matrix())
    relevant = wanted.matrix()
    return relevant, seen, np.flatnonzero(np.diff(relevant.indptr) > 0)


def _with_data(run: Run, data: str | Path) -> Run:
    """The run with other data as its test part; users and items that the run does not know are left out."""
    from sparsedevice.data import DataOptions, Interactions, load_split

    options = DataOptions.from_json({**run.source.get("options", {}), "validation_fraction": 0.0})
    other = load_split(data, options)
    wanted = other.test if other.test is not None else other.train
    train = run.split.train
    user = train.user_ids.rows(wanted.user_ids.ids)[wanted.user_index]
    item = train.item_ids.rows(wanted.item_ids.ids)[wanted.item_index]
    known = (user >= 0) & (item >= 0)
    if not known.any():
        raise DataError(f"{data} shares no user and item with the run; evaluate on data with the same ids")
    test = Interactions(user[known], item[known], train.user_ids, train.item_ids, None, None, train.titles)
    return replace(run, split=replace(run.split, test=test))
