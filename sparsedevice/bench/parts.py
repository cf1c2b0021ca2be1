"""The parts of a query that a backend can be asked for one by one, from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsedevice.runtime import Recommender

#: Every part by the name that the C harness has for it.
PARTS = ("find", "fold_in", "scan", "choose")
#: Queries that a part is timed with where what comes before it is computed beforehand and kept.
KEPT = 16
_CORE = "one call of the core, which Python cannot stop in the middle; --harness native times the parts"
_GRAPH = "one execution of the artefact folds in, scores and chooses (recommend_rows)"
_METHOD = "one method of the program scores and chooses (scan_and_choose)"

Call = Callable[[int], object]


def split(
    recommender: Recommender, backend: str, queries: Sequence[Sequence[str]], k: int
) -> tuple[dict[str, Call], dict[str, str]]:
    """The parts that can be timed by themselves, and why the others cannot.

    Args:
        recommender: what is measured.
        backend: its name.
        queries: histories of item ids.
        k: length of a ranking.

    Returns:
        Calls by the part's name, which take the number of the query; and reasons by the names of those of
        :data:`PARTS` that are missing.
    """
    packed = getattr(recommender, "packed", None)
    if packed is None:
        return {}, dict.fromkeys(PARTS, _CORE)
    vocabulary = packed.vocabulary
    rows = [vocabulary.rows(query).astype(np.int64) for query in queries]
    n = len(queries)
    anything: Any = recommender
    find = vocabulary.rows if backend == "numpy" else anything.find_rows
    calls: dict[str, Call] = {"find": lambda number: find(queries[number % n])}
    if backend == "numpy":
        folded = [anything.fold_in(history) for history in rows[:KEPT]]
        scores = [anything.scores(query) for query in folded]
        eligible = [_all_but(packed.n_items, history) for history in rows[:KEPT]]
        few = len(folded)
        calls["fold_in"] = lambda number: anything.fold_in(rows[number % n])
        calls["scan"] = lambda number: anything.scores(folded[number % few])
        calls["choose"] = lambda number: anything.best(scores[number % few], eligible[number % few], k, [])
        return calls, {}
    calls["recommend_rows"] = lambda number: anything.top_rows(
        history=rows[number % n], user=-1, like=-1, excluded=rows[number % n], candidates=None, k=k
    )
    if backend != "executorch":
        return calls, dict.fromkeys(PARTS[1:], _GRAPH)
    folded = [anything.fold_in(np.unique(history)) for history in rows[:KEPT]]
    few = len(folded)
    calls["fold_in"] = lambda number: anything.fold_in(np.unique(rows[number % n]))
    calls["scan_and_choose"] = lambda number: anything.best_rows(
        folded[number % few], _all_but(anything.padded, rows[number % few], packed.n_items), k
    )
    return calls, dict.fromkeys(PARTS[2:], _METHOD)


def _all_but(size: int, rows: Any, n_items: int | None = None) -> Any:
    eligible = np.ones(size, bool)
    eligible[n_items:] = n_items is None
    eligible[rows] = False
    return eligible
