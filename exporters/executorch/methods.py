"""The methods of the ExecuTorch program, as modules of portable operators.

Together they compute what "Scores, exactly" in docs/architecture.md says. A method's tables are shared with
the other methods; each holds a row's entries once, in blocks (``exporters/blocks.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from sparsedevice.packing.format import Similarity

from ..blocks import Group

#: Rows that one call of ``fold`` adds; longer histories take several calls.
FOLD_ROWS = 64
#: Results of one call of ``top``; more take several calls, with those found left out.
TOP_ROWS = 128


class Blocks(nn.Module):
    """A table in blocks.

    Attributes:
        scales: float32[n_blocks, block_rows] over all groups, 1 for rows of padding.
    """

    def __init__(self, groups: Sequence[Group], scales: np.ndarray, dim: int) -> None:
        super().__init__()
        self.n_rows, self.dim = len(scales), dim
        self.starts = [group.start for group in groups]
        self.sizes = [group.n_rows for group in groups]
        self.block_rows = groups[0].block_rows
        self.padded = self.starts[-1] + self.sizes[-1]
        padded = np.ones(self.padded, np.float32)
        padded[: len(scales)] = scales
        self.register_buffer("scales", torch.from_numpy(padded.reshape(-1, self.block_rows)))
        self.scales: Tensor
        for i, group in enumerate(groups):
            columns = group.columns if group.columns.dtype == np.uint8 else group.columns.astype(np.int16)
            self.register_buffer(f"columns_{i}", torch.from_numpy(columns))
            self.register_buffer(f"values_{i}", torch.from_numpy(group.values))

    def group(self, i: int) -> tuple[Tensor, Tensor]:
        """Columns and values of one group, [n_blocks, block_rows, width] each."""
        return self.get_buffer(f"columns_{i}"), self.get_buffer(f"values_{i}")

    def place(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Block and lane of each row."""
        block = torch.div(rows, self.block_rows, rounding_mode="floor")
        return block, rows - block * self.block_rows

    def dot_rows(self, query: Tensor, rows: Tensor) -> Tensor:
        """Sum over entries of value times query, not scaled, float64[n]; 0 for rows outside the table."""
        scores = torch.zeros(rows.shape[0], dtype=torch.float64)
        for i, (start, size) in enumerate(zip(self.starts, self.sizes, strict=True)):
            inside = (rows >= start) & (rows < start + size)
            block, lane = self.place(torch.where(inside, rows - start, 0))
            columns, values = (part[block, lane] for part in self.group(i))
            looked_up = torch.index_select(query, 0, columns.to(torch.int64).flatten()).reshape(values.shape)
            scores = torch.where(inside, (values.to(torch.float64) * looked_up).sum(1), scores)
        return scores

    def add_rows(self, total: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """``total`` float64[dim] plus the sum of weight times row, added up in the order given."""
        columns, products = [], []
        for i, (start, size) in enumerate(zip(self.starts, self.sizes, strict=True)):
            inside = (rows >= start) & (rows < start + size)
            block, lane = self.place(torch.where(inside, rows - start, 0))
            table, values = self.group(i)
            weight = torch.where(inside, weights, 0.0).unsqueeze(1)
            products.append((weight * values[block, lane].to(torch.float64)).flatten())
            columns.append(table[block, lane].to(torch.int64).flatten())
        return total.scatter_add(0, torch.cat(columns), torch.cat(products))


class Fold(nn.Module):
    """``fold(total float64[dim], rows int64[64]) -> float64[dim]``: adds a history's rows, by their weights.

    Rows outside the table, -1 for one, are ignored. Rows are given in increasing order, each once.
    """

    def __init__(self, items: Blocks, weights: np.ndarray | None) -> None:
        super().__init__()
        self.items = items
        self.weights: Tensor | None
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights))

    def forward(self, total: Tensor, rows: Tensor) -> Tensor:
        """See the class."""
        known = (rows >= 0) & (rows < self.items.n_rows)
        safe = torch.where(known, rows, 0)
        weight = self.items.scales[self.items.place(safe)].to(torch.float64)
        if self.weights is not None:
            weight = weight * self.weights[safe].to(torch.float64)
        return self.items.add_rows(total, safe, torch.where(known, weight, 0.0))


class Row(nn.Module):
    """``item(row int64[1]) -> float64[dim]``, and the same for ``user``: one dequantised row.

    A row outside the table gives zeros. Where items have no fold-in weights, ``fold`` of one row does it.
    """

    def __init__(self, table: Blocks) -> None:
        super().__init__()
        self.table = table

    def forward(self, row: Tensor) -> Tensor:
        """See the class."""
        known = (row >= 0) & (row < self.table.n_rows)
        safe = torch.where(known, row, 0)
        scale = self.table.scales[self.table.place(safe)].to(torch.float64)
        zeros = torch.zeros(self.table.dim, dtype=torch.float64)
        return self.table.add_rows(zeros, safe, torch.where(known, scale, 0.0))


class Matrix(nn.Module):
    """``matrix(total float64[dim]) -> float64[dim]``: the fold-in rule's matrix times a folded history."""

    def __init__(self, matrix: np.ndarray) -> None:
        super().__init__()
        self.matrix: Tensor
        self.register_buffer("matrix", torch.from_numpy(matrix))

    def forward(self, total: Tensor) -> Tensor:
        """See the class."""
        return (self.matrix.to(torch.float64) * total).sum(1)


class Step(nn.Module):
    """``step(query float64[dim], mean float64[dim], rows int64[n], length float64[1]) -> float64[dim]``.

    One gradient step of the fold-in rule from a query of length 1: towards the mean row of the history, away
    from the softmax-weighted mean of the sampled rows. Those outside the table, -1 for one, are left out.
    """

    def __init__(self, items: Blocks, sharpness: float) -> None:
        super().__init__()
        self.items = items
        self.sharpness = sharpness

    def forward(self, query: Tensor, mean: Tensor, rows: Tensor, length: Tensor) -> Tensor:
        """See the class."""
        known = (rows >= 0) & (rows < self.items.n_rows)
        safe = torch.where(known, rows, 0)
        scales = self.items.scales[self.items.place(safe)].to(torch.float64)
        scores = scales * self.items.dot_rows(query, safe)
        e = torch.where(known, _exponential((scores - 1.0) * self.sharpness), 0.0)
        total = e.sum()
        pull = self.items.add_rows(torch.zeros(self.items.dim, dtype=torch.float64), safe, e * scales)
        moved = query + length * (mean - pull / torch.where(total > 0, total, 1.0))
        norm = (moved * moved).sum().sqrt()
        return moved / torch.where(norm > 0, norm, 1.0)


def _exponential(x: Tensor) -> Tensor:
    """e^x by the polynomial that all backends use."""
    x = x.clamp(-700.0, 700.0)
    k = torch.round(x * 1.4426950408889634)
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    p = torch.full_like(r, 1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = p * r + coefficient
    return p * torch.pow(torch.full_like(k, 2.0), k)


class Top(nn.Module):
    """``top(query float64[dim], eligible bool[padded]) -> rows int64[K], scores float32[K]``, best first.

    Equal scores are in row order. Where fewer than K rows are eligible the last scores are minus infinity.
    K is 128, or the number of rows of the table with its padding where that is less.
    """

    def __init__(self, items: Blocks, similarity: Similarity) -> None:
        super().__init__()
        self.items = items
        self.similarity = similarity
        self.whole = items.group(0)[1].dtype == torch.int8
        self.size = min(TOP_ROWS, items.padded)
        self.block_starts: Tensor
        self.register_buffer("block_starts", torch.arange(0, items.padded, items.block_rows))

    def forward(self, query: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        vector, scale = self._prepare(query)
        lanes, size = self.items.block_rows, self.size
        eligible = eligible.reshape(-1, lanes)
        scores = torch.full((size,), -torch.inf)
        # Rows beyond the table, so that no two places hold the same row.
        rows = torch.arange(self.items.padded, self.items.padded + size)

        def merge(best: list[Tensor], block: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            columns, values, scales, allowed, start = block
            looked_up = torch.index_select(vector, 0, columns.to(torch.int32).flatten()).reshape(values.shape)
            # Whole numbers below 2^24 are exact in float32.
            sums = (looked_up * values.to(torch.float32)).sum(1)
            new = torch.where(allowed, sums * scales * scale, -torch.inf)
            return _best(
                torch.cat((best[0], new)), torch.cat((best[1], torch.arange(lanes) + start)), size
            ), [start.clone()]

        first = 0
        for i, rows_of_group in enumerate(self.items.sizes):
            columns, values = self.items.group(i)
            last = first + rows_of_group // lanes
            part = slice(first, last)
            xs = [columns, values, self.items.scales[part], eligible[part], self.block_starts[part]]
            (scores, rows), _ = scan(merge, [scores, rows], xs)
            first = last
        return _in_order(scores, rows)

    def _prepare(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The query as float32[dim] (whole numbers on the integer path) and the query's scale."""
        largest = query.abs().amax()
        usable = largest > 127.0 / torch.finfo(torch.float64).max
        safe = torch.where(usable, largest, 1.0)
        if self.whole:
            rounded = torch.where(usable, torch.round(query * (127.0 / safe)), 0.0)
            if self.similarity == "dot":
                return rounded.to(torch.float32), (safe / 127.0).to(torch.float32)
            norm = torch.where(usable, (rounded * rounded).sum(), 1.0).sqrt()
            return rounded.to(torch.float32), (1.0 / norm).to(torch.float32)
        one = torch.ones((), dtype=torch.float32)
        if self.similarity == "dot":
            return torch.where(usable, query, 0.0).to(torch.float32), one
        scaled = torch.where(usable, query / safe, 0.0)
        norm = torch.where(usable, (scaled * scaled).sum(), 1.0).sqrt()
        return (scaled / norm).to(torch.float32), one


def _best(scores: Tensor, rows: Tensor, size: int) -> list[Tensor]:
    """The ``size`` best of scores whose rows increase, in row order; of equal ones the first.

    Portable ``topk`` keeps equal values in no order, so it only tells the score at the edge.
    """
    edge = torch.topk(scores, size)[0][size - 1 :]
    above, equal = scores > edge, scores == edge
    room = size - above.to(torch.int64).sum()
    chosen = above | (equal & (torch.cumsum(equal.to(torch.int64), 0) <= room))
    # What is not chosen goes to one place more, which is cut off.
    place = torch.where(chosen, torch.cumsum(chosen.to(torch.int64), 0) - 1, size)
    best = torch.zeros(size + 1).scatter(0, place, scores)[:size]
    best_rows = torch.zeros(size + 1, dtype=torch.int64).scatter(0, place, rows)[:size]
    return [best.clone(), best_rows.clone()]


def _in_order(scores: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Best first, equal scores by row: each goes to the place that the number of better ones gives."""
    mine, theirs = scores.unsqueeze(1), scores.unsqueeze(0)
    better = (theirs > mine) | ((theirs == mine) & (rows.unsqueeze(0) < rows.unsqueeze(1)))
    place = better.to(torch.int64).sum(1)
    return torch.zeros_like(rows).scatter(0, place, rows), torch.zeros_like(scores).scatter(0, place, scores)
