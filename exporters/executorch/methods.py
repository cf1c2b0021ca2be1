"""The methods of the ExecuTorch program, as modules of portable operators.

Together they compute what "Scores, exactly" in docs/architecture.md says. A method's tables are shared with
the other methods; each holds a row's entries once, in slots (``slots.py``).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from sparsedevice.packing.format import Similarity
from sparsedevice.packing.quantize import Rows

from .slots import lay_out, pair_up

#: Rows that one call of ``fold`` adds; longer histories take several calls.
FOLD_ROWS = 64
#: Results of one call of ``top``; more take several calls, with those found left out.
TOP_ROWS = 128


class Table(nn.Module):
    """A table in slots.

    Attributes:
        columns: uint8 or int16 [n_slots, lanes].
        values: float32, float16 or int8 [n_slots, lanes]; int8 [n_slots, lanes / 2] with two values of 4 bits
            in each byte (``slots.pair_up``) where ``paired``.
        first: int32[n_blocks + 1], the first slot of each block.
        scales: float32[n_blocks, lanes], 1 for rows of padding.
    """

    def __init__(self, rows: Rows, *, paired: bool) -> None:
        super().__init__()
        slots = lay_out(rows)
        self.n_rows, self.dim = len(rows.scales), rows.dim
        self.lanes, self.padded, self.width = slots.lanes, slots.padded_rows, slots.width
        self.paired = paired
        padded = np.ones(self.padded, np.float32)
        padded[: self.n_rows] = rows.scales
        columns = slots.columns if slots.columns.dtype == np.uint8 else slots.columns.astype(np.int16)
        self.columns: Tensor
        self.values: Tensor
        self.first: Tensor
        self.scales: Tensor
        self.register_buffer("columns", torch.from_numpy(columns))
        self.register_buffer("values", torch.from_numpy(pair_up(slots.values) if paired else slots.values))
        self.register_buffer("first", torch.from_numpy(slots.first.astype(np.int32)))
        self.register_buffer("scales", torch.from_numpy(padded.reshape(-1, self.lanes)))

    def known(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """A row of the table for each number, and whether the number is that row."""
        safe = rows.clamp(0, self.n_rows - 1)
        return safe, safe == rows

    def place(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Block and lane of each row."""
        block = torch.div(rows, self.lanes, rounding_mode="floor")
        return block, rows - block * self.lanes

    def entries(self, block: Tensor, lane: Tensor) -> tuple[Tensor, Tensor]:
        """Columns int64 and values of rows of the table, [n, width] each, padded with value 0.

        ``block`` and ``lane`` are [n, 1].
        """
        slot = self.first[block] + torch.arange(self.width, dtype=torch.int32)
        some = slot < self.first[block + 1]
        slot = slot.clamp(max=self.values.shape[0] - 1)
        columns = self.columns[slot, lane].to(torch.int64)
        if not self.paired:
            return columns, self.values[slot, lane] * some
        half = self.lanes // 2
        low, high = unpair(self.values[slot, torch.remainder(lane, half)])
        return columns, torch.where(lane < half, low, high) * some

    def add_rows(self, total: Tensor, place: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
        """``total`` float64[dim] plus the sum of float64 weight [n, 1] times row, added up in this order."""
        columns, values = self.entries(*place)
        return total.scatter_add(0, columns.flatten(), (weights * values).flatten())


def unpair(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The lower and the upper values of ``slots.pair_up``, as float32."""
    both = pairs.to(torch.float32)
    # The lower value is within -7 ... 7, less than half of what one step of the upper one is worth.
    high = torch.round(both * 0.0625)
    return torch.sub(both, high, alpha=16), high


class Fold(nn.Module):
    """``fold(total float64[dim], rows int64[64]) -> float64[dim]``: adds a history's rows, by their weights.

    Rows outside the table, -1 for one, are ignored. Rows are given in increasing order, each once.
    Where items have fold-in weights there is a third input, ``weighted`` bool[1]: false takes every weight as
    1, so that ``fold`` of one row gives that row.
    """

    def __init__(self, items: Table, weights: np.ndarray | None) -> None:
        super().__init__()
        self.items = items
        self.weights: Tensor | None
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights))

    def forward(self, total: Tensor, rows: Tensor, weighted: Tensor | None = None) -> Tensor:
        """See the class."""
        rows, known = self.items.known(rows.unsqueeze(1))
        place = self.items.place(rows)
        weight = self.items.scales[place].to(torch.float64)
        if self.weights is not None:
            assert weighted is not None
            weight = weight * torch.where(weighted, self.weights[rows], 1.0)
        return self.items.add_rows(total, place, weight * known)


class User(nn.Module):
    """``user(row int64[1]) -> float64[dim]``: one dequantised row; zeros for a row outside the table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def forward(self, row: Tensor) -> Tensor:
        """See the class."""
        row, known = self.table.known(row.unsqueeze(1))
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
        self.whole = items.values.dtype == torch.int8
        self.exponential = Exponential()
        self.one: Tensor
        self.sharpness: Tensor
        self.pull: Tensor
        _numbers(self, one=1.0, sharpness=sharpness, pull=pull)

    def forward(self, query: Tensor, mean: Tensor, rows: Tensor, length: Tensor) -> Tensor:
        """See the class."""
        rows, known = self.items.known(rows.unsqueeze(1))
        place = self.items.place(rows)
        scales = self.items.scales[place]
        columns, values = self.items.entries(*place)
        columns, values = columns.flatten(), values.to(torch.float64)
        vector, scale = _prepare(query, self.whole, "cosine")
        looked_up = torch.index_select(vector.to(torch.float64), 0, columns).reshape(values.shape)
        sums = (values * looked_up).sum(1, keepdim=True).to(torch.float32)
        scores = (sums * scales * scale).to(torch.float64)
        e = self.exponential((scores - self.one) * self.sharpness) * known
        pull = torch.zeros_like(query).scatter_add(0, columns, (e * scales * values).flatten())
        total = e.sum()
        moved = query + length * (mean - self.pull * (pull / torch.where(total > 0, total, self.one)))
        norm = (moved * moved).sum().sqrt()
        return moved / torch.where(norm > 0, norm, self.one)


class Exponential(nn.Module):
    """e^x by the polynomial of all backends, its powers summed: the same but for the last bits of float64."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: Tensor
        self.ln2: Tensor
        self.exponents: Tensor
        self.factors: Tensor
        _numbers(
            self,
            steps=1.4426950408889634,
            ln2=0.6931471805599453,
            exponents=[float(i) for i in range(8)],
            factors=[1 / math.factorial(i) for i in range(8)],
        )

    def forward(self, x: Tensor) -> Tensor:
        """e^x of float64[n, 1]."""
        x = x.clamp(-700.0, 700.0)
        k = torch.round(x * self.steps)
        powers = torch.pow(x - k * self.ln2, self.exponents)
        return (powers * self.factors).sum(1, keepdim=True) * torch.pow(2.0, k)


def _numbers(module: nn.Module, **numbers: float | list[float]) -> None:
    """Numbers as buffers: programs keep one written beside a tensor as float32."""
    for name, number in numbers.items():
        module.register_buffer(name, torch.tensor(number, dtype=torch.float64))


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
            allowed, factor = (torch.index_select(part, 0, block).flatten() for part in (eligible, scales))
            new = torch.where(allowed, sums * factor * scale, -torch.inf)
            rows_here = torch.arange(lanes) + block * lanes
            best = _best(torch.cat((scores, new)), torch.cat((rows, rows_here)), scores.shape[0])
            return torch.zeros_like(sums), *best

        def keep(sums: Tensor, scores: Tensor, rows: Tensor, block: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG001
            return sums.clone(), scores.clone(), rows.clone()

        def step(carry: list[Tensor], slot: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            columns, values, end = slot
            values = torch.cat(unpair(values)) if self.items.paired else values.to(torch.float32)
            # Whole numbers below 2^24 are exact in float32.
            looked_up = torch.index_select(vector, 0, columns.to(torch.int32))
            sums = carry[0] + looked_up * values
            kept = torch.cond(end, merge, keep, (sums, *carry[1:]))
            return [*kept, carry[3] + end], [end.clone()]

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
    nothing = (largest <= 127.0 / torch.finfo(torch.float64).max).to(torch.float64)
    safe = largest + nothing
    one = torch.ones((), dtype=torch.float32)
    if not whole and similarity == "dot":
        return (query * (nothing == 0)).to(torch.float32), one
    if not whole:
        scaled = query * (nothing == 0) / safe
        return (scaled / ((scaled * scaled).sum() + nothing).sqrt()).to(torch.float32), one
    rounded = torch.round(query * (torch.full_like(largest, 127.0) / safe))
    if similarity == "dot":
        return rounded.to(torch.float32), (safe / 127.0).to(torch.float32)
    norm = ((rounded * rounded).sum() + nothing).sqrt()
    return rounded.to(torch.float32), torch.reciprocal(norm).to(torch.float32)


def _best(scores: Tensor, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The ``size`` best float32 scores with their rows, best first, of equal ones the first.

    Portable ``topk`` keeps equal values in no order, so no two may be equal: in float64 each score is lowered
    by 2^-46 of itself and 2^-166 for each place from 1, less altogether than two float32 can differ by.
    """
    wide = scores.to(torch.float64)
    # Steps of a power of 2, so that a range gives exactly as many.
    places = torch.arange(2.0**-46, (scores.shape[0] + 1) * 2.0**-46, 2.0**-46, dtype=torch.float64)
    chosen = torch.topk(wide - (wide.abs() + 2.0**-120) * places, size)[1]
    return torch.index_select(scores, 0, chosen), torch.index_select(rows, 0, chosen)
