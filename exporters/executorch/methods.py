"""The methods of the ExecuTorch program, as modules of portable operators.

Together they compute what "Scores, exactly" in docs/architecture.md says. A method's tables are shared with
the other methods; each holds a row's entries once, in slots (``slots.py``).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from sparsedevice.packing.format import Similarity

from .slots import Slots

#: Rows that one call of ``fold`` adds; longer histories take several calls.
FOLD_ROWS = 64
#: Results of one call of ``top``; more take several calls, with those found left out.
TOP_ROWS = 128


class Table(nn.Module):
    """A table in slots.

    Attributes:
        columns: uint8 or int16 [n_slots, lanes].
        values: float32, float16 or int8 [n_slots, lanes].
        first: int32[n_blocks + 1], the first slot of each block.
        scales: float32[n_blocks, lanes], 1 for rows of padding.
    """

    def __init__(self, slots: Slots, scales: np.ndarray, dim: int) -> None:
        super().__init__()
        self.n_rows, self.dim = len(scales), dim
        self.lanes, self.padded, self.width = slots.lanes, slots.padded_rows, slots.width
        padded = np.ones(self.padded, np.float32)
        padded[: len(scales)] = scales
        columns = slots.columns if slots.columns.dtype == np.uint8 else slots.columns.astype(np.int16)
        self.columns: Tensor
        self.values: Tensor
        self.first: Tensor
        self.scales: Tensor
        self.register_buffer("columns", torch.from_numpy(columns))
        self.register_buffer("values", torch.from_numpy(slots.values))
        self.register_buffer("first", torch.from_numpy(slots.first.astype(np.int32)))
        self.register_buffer("scales", torch.from_numpy(padded.reshape(-1, self.lanes)))

    def place(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Block and lane of each row."""
        block = torch.div(rows, self.lanes, rounding_mode="floor")
        return block, rows - block * self.lanes

    def known(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """A row of the table for each number, and whether the number is that row."""
        safe = rows.clamp(0, self.n_rows - 1)
        return safe, safe == rows

    def entries(self, block: Tensor, lane: Tensor) -> tuple[Tensor, Tensor]:
        """Columns int64 and values of rows of the table, [n, width] each, padded with value 0."""
        slot = self.first[block].unsqueeze(1) + torch.arange(self.width)
        some = slot < self.first[block + 1].unsqueeze(1)
        at = slot.clamp(max=self.values.shape[0] - 1), lane.unsqueeze(1)
        return self.columns[at].to(torch.int64), self.values[at] * some

    def add_rows(self, total: Tensor, place: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
        """``total`` float64[dim] plus the sum of float64 weight times row, added up in the order given."""
        columns, values = self.entries(*place)
        return total.scatter_add(0, columns.flatten(), (weights.unsqueeze(1) * values).flatten())


class Fold(nn.Module):
    """``fold(total float64[dim], rows int64[64]) -> float64[dim]``: adds a history's rows, by their weights.

    Rows outside the table, -1 for one, are ignored. Rows are given in increasing order, each once.
    """

    def __init__(self, items: Table, weights: np.ndarray | None) -> None:
        super().__init__()
        self.items = items
        self.weights: Tensor | None
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights))

    def forward(self, total: Tensor, rows: Tensor) -> Tensor:
        """See the class."""
        rows, known = self.items.known(rows)
        place = self.items.place(rows)
        weight = self.items.scales[place].to(torch.float64)
        if self.weights is not None:
            weight = weight * self.weights[rows]
        return self.items.add_rows(total, place, weight * known)


class Row(nn.Module):
    """``item(row int64[1]) -> float64[dim]``, and the same for ``user``: one dequantised row.

    A row outside the table gives zeros. Where items have no fold-in weights, ``fold`` of one row does it.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def forward(self, row: Tensor) -> Tensor:
        """See the class."""
        row, known = self.table.known(row)
        place = self.table.place(row)
        zeros = torch.zeros(self.table.dim, dtype=torch.float64)
        return self.table.add_rows(zeros, place, self.table.scales[place].to(torch.float64) * known)


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

    def __init__(self, items: Table, sharpness: float, pull: float) -> None:
        super().__init__()
        self.items = items
        self.sharpness = sharpness
        self.pull = pull
        self.whole = items.values.dtype == torch.int8

    def forward(self, query: Tensor, mean: Tensor, rows: Tensor, length: Tensor) -> Tensor:
        """See the class."""
        rows, known = self.items.known(rows)
        place = self.items.place(rows)
        scales = self.items.scales[place]
        columns, values = self.items.entries(*place)
        vector, scale = _prepare(query, self.whole, "cosine")
        vector = vector.to(torch.float64)
        looked_up = torch.index_select(vector, 0, columns.flatten()).reshape(values.shape)
        sums = (values * looked_up).sum(1).to(torch.float32)
        scores = (sums * scales * scale).to(torch.float64)
        e = _exponential((scores - 1.0) * self.sharpness) * known
        scales = scales.to(torch.float64)
        total = e.sum()
        products = ((e * scales).unsqueeze(1) * values).flatten()
        pull = torch.zeros_like(query).scatter_add(0, columns.flatten(), products)
        moved = query + length * (mean - self.pull * (pull / torch.where(total > 0, total, 1.0)))
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

    def __init__(self, items: Table, similarity: Similarity) -> None:
        super().__init__()
        self.items = items
        self.similarity = similarity
        self.whole = items.values.dtype == torch.int8
        self.size = min(TOP_ROWS, items.padded)
        self.ends: Tensor
        ends = torch.zeros(items.values.shape[0], dtype=torch.bool)
        ends[items.first[1:] - 1] = True
        self.register_buffer("ends", ends)

    def forward(self, query: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        vector, scale = _prepare(query, self.whole, self.similarity)
        lanes, size = self.items.lanes, self.size
        scales, eligible = self.items.scales, eligible.reshape(-1, lanes)

        def merge(sums: Tensor, scores: Tensor, rows: Tensor, block: Tensor) -> tuple[Tensor, ...]:
            allowed, factor = (torch.index_select(part, 0, block)[0] for part in (eligible, scales))
            new = torch.where(allowed, sums * factor * scale, -torch.inf)
            rows_here = torch.arange(lanes) + block * lanes
            best = _best(torch.cat((scores, new)), torch.cat((rows, rows_here)), scores.shape[0])
            return torch.zeros_like(sums), *best, block + 1

        def keep(sums: Tensor, scores: Tensor, rows: Tensor, block: Tensor) -> tuple[Tensor, ...]:
            return sums.clone(), scores.clone(), rows.clone(), block.clone()

        def step(carry: list[Tensor], slot: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            columns, values, end = slot
            # Whole numbers below 2^24 are exact in float32.
            looked_up = torch.index_select(vector, 0, columns.to(torch.int32))
            sums = carry[0] + looked_up * values.to(torch.float32)
            return list(torch.cond(end, merge, keep, (sums, *carry[1:]))), [end.clone()]

        start = [
            torch.zeros(lanes),
            torch.full((size,), -torch.inf),
            torch.zeros(size, dtype=torch.int64),
            torch.zeros(1, dtype=torch.int64),
        ]
        (_, scores, rows, _), _ = scan(step, start, [self.items.columns, self.items.values, self.ends])
        return rows, scores


def _prepare(query: Tensor, whole: bool, similarity: Similarity) -> tuple[Tensor, Tensor]:
    """The query as float32[dim] (whole numbers on the integer path) and the query's scale."""
    largest = query.abs().amax()
    # 1 where the query is 0, or so small that it counts as 0: then it is 0 after rounding as well.
    nothing = largest <= 127.0 / torch.finfo(torch.float64).max
    safe = largest + nothing
    one = torch.ones((), dtype=torch.float32)
    if not whole and similarity == "dot":
        return (query * ~nothing).to(torch.float32), one
    if not whole:
        scaled = query * ~nothing / safe
        return (scaled / ((scaled * scaled).sum() + nothing).sqrt()).to(torch.float32), one
    rounded = torch.round(query * (torch.full_like(largest, 127.0) / safe))
    if similarity == "dot":
        return rounded.to(torch.float32), (safe / 127.0).to(torch.float32)
    norm = ((rounded * rounded).sum() + nothing).sqrt()
    return rounded.to(torch.float32), (1.0 / norm).to(torch.float32)


def _best(scores: Tensor, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The ``size`` best float32 scores with their rows, best first, of equal ones the first.

    Portable ``topk`` keeps equal values in no order, so no two may be equal: in float64 each score is lowered
    by 2^-46 of itself and 2^-190 for each place before it, less altogether than two float32 can differ by.
    """
    wide = scores.to(torch.float64)
    # Programs keep a number beside a tensor as float32, which has no 2^-190.
    places = torch.arange(1, scores.shape[0] + 1, dtype=torch.float64) * 2.0**-100
    chosen = torch.topk(wide - (wide.abs() * 2.0**54 + 2.0**-90) * places, size)[1]
    return torch.index_select(scores, 0, chosen), torch.index_select(rows, 0, chosen)
