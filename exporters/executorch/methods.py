"""The methods of the ExecuTorch program, as modules of portable operators.

Together they compute what "Scores, exactly" in docs/architecture.md says. A method's tables are shared with
the other methods; each holds a row's entries once, in slots (``slots.py``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

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
# Above 0 and below every sum of exponentials and every length of a query that is not 0.
_LEAST = 1e-305


class Table(nn.Module):
    """A table in slots.

    Attributes:
        columns: uint8 or int16 [n_slots, lanes].
        values: float32, float16 or int8 [n_slots, lanes]; int8 [n_slots, lanes / 2] with two values of 4 bits
            in each byte (``slots.pair_up``) where ``paired``.
        first: int32[n_blocks + 1], the first slot of each block.
        scales: float32[n_blocks, lanes], 1 for rows of padding.
        back: int32[width], the slots of a block counted from its end: -1, -2, ...
        zero: float64.
        sixteenth: float64.
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
        self.back: Tensor
        self.zero: Tensor
        self.sixteenth: Tensor
        self.register_buffer("back", -1 - torch.arange(self.width, dtype=torch.int32))
        _numbers(self, zero=0.0, sixteenth=0.0625)

    def look_up(self, rows: Tensor) -> Found:
        """Rows of the table by their numbers int64[n]."""
        rows = rows.reshape(-1, 1)
        safe = rows.clamp(0, self.n_rows - 1)
        known = safe == rows
        block = torch.div(safe, self.lanes, rounding_mode="floor")
        lane = torch.remainder(safe, self.lanes)
        # From the end, so that no slot lies behind the table; one before it is taken from its end, as the
        # operator counts there, and is not the row's.
        slot = self.first[block + 1] + self.back
        own = slot >= self.first[block]
        columns = self.columns[slot, lane].to(torch.int64)
        if self.paired:
            half = self.lanes // 2
            pairs = self.values[slot, torch.remainder(lane, half)].to(torch.float64)
            low, high = unpair(pairs, self.sixteenth)
            values = torch.where(lane >= half, high, low)
        else:
            values = self.values[slot, lane].to(torch.float64)
        values = torch.where(own, values, self.zero)
        scales = self.scales[block, lane]
        return Found(safe, known, scales, columns.flatten(), values, scales.to(torch.float64) * values)


class Found(NamedTuple):
    """Rows that were looked up.

    Attributes:
        rows: int64[n, 1], a row of the table for each number.
        known: bool[n, 1], whether the number is that row.
        scales: float32[n, 1].
        columns: int64[n * width].
        values: float64[n, width], as stored; 0 behind a row's end.
        entries: float64[n, width], values times scales.
    """

    rows: Tensor
    known: Tensor
    scales: Tensor
    columns: Tensor
    values: Tensor
    entries: Tensor

    def add_to(self, total: Tensor, entries: Tensor) -> Tensor:
        """``total`` float64[dim] plus the sum of the rows' entries float64[n, width], in this order."""
        return total.scatter_add(0, self.columns, entries.flatten())


def unpair(both: Tensor, sixteenth: Tensor | float) -> tuple[Tensor, Tensor]:
    """The lower and the upper values of ``slots.pair_up``, given and returned as floating-point numbers."""
    # The lower value is within -7 ... 7, less than half of what one step of the upper one is worth.
    high = torch.round(both * sixteenth)
    return torch.add(both, high, alpha=-16), high


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
        found = self.items.look_up(rows)
        entries = found.entries
        if self.weights is not None:
            assert weighted is not None
            entries = entries * torch.where(weighted, self.weights[found.rows], 1.0)
        return found.add_to(total, torch.where(found.known, entries, self.items.zero))


class User(nn.Module):
    """``user(row int64[1]) -> float64[dim]``: one dequantised row; zeros for a row outside the table."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    def forward(self, row: Tensor) -> Tensor:
        """See the class."""
        found = self.table.look_up(row)
        entries = torch.where(found.known, found.entries, self.table.zero)
        return found.add_to(torch.zeros(self.table.dim, dtype=torch.float64), entries)


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
    """``step(query float64[dim], start float64[dim], rows int64[n], pull float64[1]) -> float64[dim]``.

    One gradient step of the fold-in rule from a query of length 1: ``start``, where the history alone leads,
    plus ``pull`` (below 0) times the softmax-weighted mean of the sampled rows, at length 1. Rows outside the
    table, -1 for one, are left out.
    """

    def __init__(self, items: Table, sharpness: float) -> None:
        super().__init__()
        self.items = items
        self.whole = items.values.dtype == torch.int8
        self.exponential = Exponential(sharpness)
        self.prepare = Prepare(self.whole, "cosine", never_zero=True)

    def forward(self, query: Tensor, start: Tensor, rows: Tensor, pull: Tensor) -> Tensor:
        """See the class."""
        found = self.items.look_up(rows)
        vector, scale = self.prepare(query)
        if not self.whole:
            vector = vector.to(torch.float32).to(torch.float64)
        looked_up = torch.index_select(vector, 0, found.columns).reshape(found.values.shape)
        sums = (found.values * looked_up).sum(1, keepdim=True).to(torch.float32)
        scores = sums * found.scales
        if scale is not None:
            scores = scores * scale
        e = torch.where(found.known, self.exponential(scores.to(torch.float64)), self.items.zero)
        # Without a sample all of e is 0.
        part = pull / e.sum().clamp(min=_LEAST)
        moved = found.add_to(start, e * part * found.entries)
        return moved * torch.rsqrt((moved * moved).sum().clamp(min=_LEAST))


class Exponential(nn.Module):
    """e^(sharpness x) by the polynomial of all backends, its powers summed: the same but for the last bits.

    A sharpness is at most 350 and x a cosine, so no power leaves float64. It is e^(sharpness (x - 1)), of
    which the contract speaks, times a constant, which falls out where powers are divided by their sum.
    """

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.steps: Tensor
        self.exponents: Tensor
        self.factors: Tensor
        _numbers(
            self,
            steps=sharpness / math.log(2),
            exponents=[float(i) for i in range(8)],
            factors=[[math.log(2) ** i / math.factorial(i)] for i in range(8)],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Of float64[n, 1]."""
        y = x * self.steps
        k = torch.round(y)
        rest = torch.add(y, k, alpha=-1)
        return torch.mm(torch.pow(rest, self.exponents), self.factors) * torch.pow(2.0, k)


def _numbers(module: nn.Module, **numbers: float | list[float] | list[list[float]]) -> None:
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
        self.prepare = Prepare(self.whole, similarity)
        self.best = Best()
        self.never: Tensor
        self.nothing: Tensor
        self.register_buffer("never", torch.tensor(-torch.inf))
        self.register_buffer("nothing", torch.tensor(0.0))

    def forward(self, query: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        prepared, scale = self.prepare(query)
        vector = prepared.to(torch.float32)
        lanes = self.items.lanes
        scales, eligible = self.items.scales, eligible.reshape(-1, lanes)

        def merge(sums: Tensor, scores: Tensor, rows: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
            allowed, factor = (torch.index_select(part, 0, block).flatten() for part in (eligible, scales))
            new = sums * factor
            new = torch.where(allowed, new if scale is None else new * scale, self.never)
            here = torch.add(torch.arange(lanes), block, alpha=lanes)
            scores, rows = self.best(torch.cat((scores, new)), torch.cat((rows, here)), scores.shape[0])
            return scores, rows

        def keep(sums: Tensor, scores: Tensor, rows: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
            return scores.clone(), rows.clone()

        def step(carry: list[Tensor], slot: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            columns, values, end = slot
            values = values.to(torch.float32)
            values = torch.cat(unpair(values, 0.0625)) if self.items.paired else values
            # Whole numbers below 2^24 are exact in float32.
            looked_up = torch.index_select(vector, 0, columns.to(torch.int32))
            sums = carry[0] + looked_up * values
            best = torch.cond(end, merge, keep, (sums, *carry[1:]))
            return [torch.where(end, self.nothing, sums), *best, carry[3] + end], []

        start = [
            torch.zeros(lanes),
            torch.full((self.size,), -torch.inf),
            torch.zeros(self.size, dtype=torch.int64),
            torch.zeros(1, dtype=torch.int64),
        ]
        (_, scores, rows, _), _ = scan(step, start, [self.items.columns, self.items.values, self.ends])
        return rows, scores


class Prepare(nn.Module):
    """The query as float64[dim], whole numbers on the integer path, and its scale float32; None for 1.

    ``never_zero``: only queries of length 1 are asked about.
    """

    def __init__(self, whole: bool, similarity: Similarity, *, never_zero: bool = False) -> None:
        super().__init__()
        self.whole, self.similarity, self.never_zero = whole, similarity, never_zero
        self.most: Tensor
        _numbers(self, most=127.0)

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor | None]:
        """See the class."""
        if not self.whole and self.similarity == "dot":
            return query, None
        largest = query.abs().amax()
        if not self.never_zero:
            # So small that it counts as 0: with any factor that is not huge nothing is left of it.
            largest = torch.where(largest > 127.0 / torch.finfo(torch.float64).max, largest, self.most)
        scaled = torch.round(query * (self.most / largest)) if self.whole else query / largest
        if self.whole and self.similarity == "dot":
            return scaled, (largest / self.most).to(torch.float32)
        square = (scaled * scaled).sum()
        square = square if self.never_zero else square.clamp(min=1.0)
        if self.whole:
            return scaled, torch.rsqrt(square).to(torch.float32)
        return scaled / square.sqrt(), None


class Best(nn.Module):
    """The ``size`` best float32 scores with their rows, best first, of equal ones the first.

    Portable ``topk`` keeps equal values in no order, so no two may be equal: in float64 each score is lowered
    by 2^-46 of itself and 2^-166 for each place from 1, less altogether than two float32 can differ by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.least: Tensor
        _numbers(self, least=2.0**-120)

    def forward(self, scores: Tensor, rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """See the class."""
        wide = scores.to(torch.float64)
        # Steps of a power of 2, so that a range gives exactly as many.
        places = torch.arange(
            -(2.0**-46), (scores.shape[0] + 1) * -(2.0**-46), -(2.0**-46), dtype=torch.float64
        )
        chosen = torch.topk(wide + (wide.abs() + self.least) * places, size)[1]
        return torch.index_select(scores, 0, chosen), torch.index_select(rows, 0, chosen)
