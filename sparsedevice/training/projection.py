"""Steps that move a row's shape: on the whole row, which is then cut back to its largest entries.

On a processor C does it row by row (``sparse/csrc/sd_project.h``), elsewhere and where rows differ in length
torch does, block by block.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sparsedevice.sparse import _kernels
from sparsedevice.sparse.active import Active
from sparsedevice.sparse.table import SparseTable
from sparsedevice.sparse.threads import in_parts

# Rows that one call of C works on.
ROWS_PER_PART = 64


def project_rows(
    table: SparseTable,
    active: Active,
    gradient: Tensor,
    lr: float,
    *,
    explore: float,
    blocks: int = 1,
    beta1: float = 0.9,
    beta2: float = 0.99,
) -> None:
    """One Adam step on whole rows, which are then cut back to their largest entries.

    This is iterative hard thresholding (Blumensath and Davies, arXiv 0805.0510) on unit rows. The batch's
    rows are dense while their gradient is computed, so the inactive entries' gradient costs nothing more.
    Active entries step by their first moment; inactive ones, which have none, by ``explore`` times their
    gradient of this step. Each row keeps its number of entries. As the step length decays the shape comes to
    rest by itself.

    Args:
        table: updated in place: columns too.
        active: the entries of the rows; a row must not repeat.
        gradient: dense gradient of those rows, float32[r, dim].
        lr: length of a step when gradients agree.
        explore: weight of inactive entries' gradient, 0 to 1.
        blocks: equal ranges of columns that each row keeps the same number of entries in.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
    """
    count = table.updates[active.rows] + 1
    table.updates[active.rows] = count
    bias1, bias2 = (1 - beta ** count.to(torch.float32) for beta in (beta1, beta2))
    step = Step(bias1, bias2, lr, explore, beta1, beta2, blocks)
    if table.device.type == "cpu" and active.width:
        project_in_c(table, active, gradient, step)
    else:
        project_in_torch(table, active, gradient, step)


class Step(NamedTuple):
    """What ``project_rows`` is asked for, with 1 - beta^t of each row's t-th update, float32[r]."""

    bias1: Tensor
    bias2: Tensor
    lr: float
    explore: float
    beta1: float
    beta2: float
    blocks: int


def project_in_torch(table: SparseTable, active: Active, gradient: Tensor, step: Step) -> None:
    """The step by dense blocks of rows."""
    bias1, bias2, lr, explore, beta1, beta2, blocks = step
    block = table.expand(active)
    tangent = gradient - (gradient * block).sum(1, keepdim=True) * block
    grad = active.of_block(tangent)
    moment = active.take(table.first).mul_(beta1).add_(grad, alpha=1 - beta1)
    second = table.second[active.rows].mul_(beta2).add_(active.row_sum(grad * grad), alpha=1 - beta2)
    table.second[active.rows] = second
    norm = (second / bias2).sqrt_()
    # A row of one entry has no tangent among its active entries; the rest then sets the scale.
    norm = norm.maximum(0.1 * tangent.norm(dim=1)).add_(1e-12)
    tangent *= explore
    tangent.view(-1)[active.flat] = moment / active.per_entry(bias1)
    block -= (lr / norm)[:, None] * tangent
    moments = torch.zeros_like(block)
    moments.view(-1)[active.flat] = moment
    lengths = None if active.width else torch.bincount(active.local, minlength=active.rows.numel())
    if blocks > 1:
        kept = largest_columns(block.abs().view(-1, table.dim // blocks), active.width // blocks, None)
    else:
        kept = largest_columns(block.abs(), active.width, lengths)
    value = block.view(-1)[kept]
    value /= active.per_entry(active.row_sum(value * value).sqrt_().clamp_(min=1e-12))
    active.put(table.columns, (kept % table.dim).to(table.columns.dtype))
    active.put(table.values, value)
    active.put(table.first, moments.view(-1)[kept])


def project_in_c(table: SparseTable, active: Active, gradient: Tensor, step: Step) -> None:
    """The step row by row, for rows of one length in a processor's memory."""
    tensors = (table.columns, table.values, table.first, table.second)
    columns, values, first, second = (tensor.numpy() for tensor in tensors)
    rows, slope, bias1, bias2 = (
        tensor.contiguous().numpy() for tensor in (active.rows, gradient, step.bias1, step.bias2)
    )

    def part(start: int, stop: int) -> None:
        own = slice(start * ROWS_PER_PART, stop * ROWS_PER_PART)
        _kernels.project_rows(
            *(columns, values, first, second, table.dim, step.blocks),
            *(rows[own], slope[own], bias1[own], bias2[own]),
            *(step.lr, step.explore, step.beta1, step.beta2),
        )

    in_parts(-(-len(rows) // ROWS_PER_PART), part)


def largest_columns(magnitude: Tensor, width: int, lengths: Tensor | None) -> Tensor:
    """Flat positions of each row's largest entries, ascending, int64[sum].

    Args:
        magnitude: float32[r, dim].
        width: entries to keep in every row, where ``lengths`` is None.
        lengths: entries to keep in each row, int64[r].
    """
    n_rows, dim = magnitude.shape
    first = torch.arange(n_rows, device=magnitude.device)[:, None] * dim
    if lengths is None:
        columns = torch.topk(magnitude, width, dim=1, sorted=False).indices
        return (columns.sort(dim=1).values + first).view(-1)
    longest = int(lengths.max())
    columns = torch.topk(magnitude, longest, dim=1).indices
    beyond = torch.arange(longest, device=magnitude.device) >= lengths[:, None]
    columns = columns.masked_fill(beyond, dim).sort(dim=1).values
    return (columns + first)[columns < dim]
