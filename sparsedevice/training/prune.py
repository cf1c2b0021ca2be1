"""Methods that train dense: magnitude pruning after training, with a floor chosen on validation."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.evaluation.metrics import summarise
from sparsedevice.evaluation.ranking import Queries, rank, table_queries
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.sparse.budget import active_entries
from sparsedevice.sparse.prune import magnitude_prune
from sparsedevice.training.config import TrainConfig

USERS = 3000
Table = scipy.sparse.csr_array


def prune_after_training(
    items: Table,
    users: Table | None,
    similarity: str,
    config: TrainConfig,
    train: Table,
    validation: Table | None,
    floor: int | None = None,
) -> tuple[Table, Table | None, dict[str, float]]:
    """Prune a dense model to the budget, with the floor that validation likes best.

    The floor is found as in MagPrune (Tran et al., arXiv 2406.17335), by search on validation: five floors
    from 1 to an average row, then the middles of the gaps beside the best until it has none.

    Args:
        items: dense item rows as csr_array float32 (n_items x dim).
        users: dense user rows, or None where the user is her history.
        similarity: of the model.
        config: resolved settings; ``sparsity`` and ``sparse`` set the budget.
        train: histories, csr_array (n_users x n_items).
        validation: what the floor is chosen on; without it the floor is half of the average row.
        floor: a floor that was chosen before; nothing is compared then.

    Returns:
        Pruned items, users (as they were where only items are sparse), and recall@20 on validation by floor.
    """
    fan_in = active_entries(items.shape[0], items.shape[1], config.sparsity) // items.shape[0]

    def pruned(floor: int) -> tuple[Table, Table | None]:
        few = _to_budget(items, config.sparsity, floor)
        if users is None or config.sparse == "items":
            return few, users
        return few, _to_budget(users, config.sparsity, floor)

    if validation is None or floor is not None:
        return (*pruned(floor or max(1, fan_in // 2)), {})
    rows = np.flatnonzero(np.diff(validation.indptr) > 0)
    rows = np.sort(np.random.default_rng([config.seed, 6]).permutation(rows)[:USERS])
    floors = sorted({max(1, round(fan_in * share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    found: dict[int, float] = {}

    def measure(tried: int) -> None:
        candidate = pruned(tried)
        queries: Queries
        if candidate[1] is None:
            queries = folded_queries(candidate[0], similarity, FoldIn(), train)
        else:
            queries = table_queries(candidate[1])
        top = rank(queries, candidate[0], rows, 20, seen=train)
        found[tried] = summarise(top, validation, rows)["recall@20"]

    # A coarse grid first, then halves of the gaps beside the best.
    while floors:
        for tried in floors:
            measure(tried)
        best = max(found, key=lambda tried: (found[tried], -tried))
        known = sorted(found)
        place = known.index(best)
        gaps = [known[place - 1 : place + 1]] if place else []
        gaps += [known[place : place + 2]] if place + 1 < len(known) else []
        floors = [(low + high) // 2 for low, high in gaps if high - low > 1]
    return (*pruned(best), {str(tried): found[tried] for tried in sorted(found)})


def _to_budget(table: Table, sparsity: float, floor: int) -> Table:
    return magnitude_prune(table, active_entries(table.shape[0], table.shape[1], sparsity), floor)
