"""Moving a table's shape: drop the smallest entries, activate others in their place."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsedevice.sparse.table import SparseTable

ROWS_PER_BLOCK = 1024


Growth = Callable[[int, int], Tensor]


def move_rows(
    table: SparseTable, rows: Tensor, growth: Growth, share: float, *, regret: bool = False, blocks: int = 1
) -> int:
    """Within each of some rows, swap the smallest entries for inactive ones of largest growth score.

    The number of entries of each row stays. A row whose growth scores are all zero (no gradient reached it)
    stays as it is. Works on blocks of rows, so the extra memory does not grow with the table.

    Args:
        table: changed in place.
        rows: distinct rows, int64[r], ascending.
        growth: ``growth(start, stop)`` gives the score of each column of ``rows[start:stop]``, float32[stop -
            start, dim]; its magnitude counts.
        share: share of a row's entries to swap; at least one, at most the inactive columns.
        regret: let the entries just dropped compete for growth (DSL), else only those that were inactive
            before.
        blocks: equal ranges of columns that each row swaps entries within.

    Returns:
        Number of swapped entries.
    """
    width = table.dim // blocks
    keep = torch.ones(table.nnz, dtype=torch.bool, device=table.device)
    grown_rows, grown_columns = [], []
    for start in range(0, rows.numel(), ROWS_PER_BLOCK):
        block_rows = rows[start : start + ROWS_PER_BLOCK]
        score = growth(start, start + block_rows.numel()).abs().view(-1, width)
        active = table.active(block_rows)
        flat_inactive = torch.ones(score.numel(), dtype=torch.bool, device=table.device)
        flat_inactive[active.flat] = False
        inactive = flat_inactive.view_as(score)
        length = torch.bincount(active.flat // width, minlength=score.shape[0])
        swaps = (share * length).round().long().clamp_(min=1).minimum(length)
        swaps = swaps.minimum(((score > 0) & inactive).sum(1))
        if not bool(swaps.any()):
            continue
        magnitude = torch.full(score.shape, torch.inf, device=table.device).view(-1)
        magnitude[active.flat] = table.values[active.entry].abs()
        dropped = _first(magnitude.view_as(score).argsort(dim=1, stable=True), swaps)
        candidates = inactive | dropped if regret else inactive
        grown = _first(
            (score * candidates - (~candidates).float()).argsort(dim=1, descending=True, stable=True), swaps
        )
        if regret:
            stays = dropped & grown
            dropped, grown = dropped & ~stays, grown & ~stays
        keep[active.entry] = ~dropped.view(-1)[active.flat]
        local, column = torch.nonzero(grown, as_tuple=True)
        grown_rows.append(block_rows[local // blocks])
        grown_columns.append(local % blocks * width + column)
    if not grown_rows:
        return 0
    row, column = torch.cat(grown_rows), torch.cat(grown_columns)
    table.restructure(keep, row, column)
    return row.numel()


def move_global(
    table: SparseTable, rows: Tensor, growth: Tensor, share: float, *, floor: int = 1, regret: bool = False
) -> int:
    """Among all entries of some rows, drop the smallest and activate the best: entries wander between rows.

    The number of active entries of the table stays. Every row keeps its ``floor`` largest entries.

    Args:
        table: changed in place.
        rows: distinct rows, int64[r], ascending.
        growth: score of each column of those rows, float32[r, dim]; its magnitude counts, so scale it by row
            if rows are to compete on equal terms.
        share: share of the rows' entries to swap.
        floor: entries that no row falls below.
        regret: as in ``move_rows``.

    Returns:
        Number of swapped entries.
    """
    active = table.active(rows)
    magnitude = table.values[active.entry].abs()
    # Rank within the row, largest first: the floor's entries may not be dropped.
    order = torch.argsort(magnitude, descending=True, stable=True)
    order = order[torch.argsort(active.local[order], stable=True)]
    length = torch.bincount(active.local, minlength=rows.numel())
    first = length.cumsum(0) - length
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=table.device) - first[active.local[order]]
    droppable = torch.nonzero(rank >= floor).squeeze(1)
    score = growth.abs().clone().view(-1)
    inactive_score = score.clone()
    inactive_score[active.flat] = 0.0
    swaps = min(round(share * active.entry.numel()), droppable.numel(), int((inactive_score > 0).sum()))
    if swaps == 0:
        return 0
    smallest = droppable[torch.argsort(magnitude[droppable], stable=True)[:swaps]]
    candidates = inactive_score
    if regret:
        candidates[active.flat[smallest]] = score[active.flat[smallest]]
    grown = torch.topk(candidates, swaps).indices.sort().values
    keep = torch.ones(table.nnz, dtype=torch.bool, device=table.device)
    keep[active.entry[smallest]] = False
    if regret:
        back = torch.isin(active.flat, grown)
        keep[active.entry[back]] = True
        grown = grown[~torch.isin(grown, active.flat)]
    table.restructure(keep, rows[grown // table.dim], grown % table.dim)
    return int(grown.numel())


def _first(order: Tensor, count: Tensor) -> Tensor:
    """Mark the first ``count[r]`` columns of each row of an ordering, bool as ``order``."""
    rank = torch.arange(order.shape[1], device=order.device) < count[:, None]
    return torch.zeros(order.shape, dtype=torch.bool, device=order.device).scatter_(1, order, rank)
