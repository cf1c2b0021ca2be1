"""Scoring a catalogue block by block and keeping the best, as an ONNX Loop.

A block is at most 64 slices of one length (csr: at most 4,096 rows with at most 65,536 entries), cut out of
the sections where they lie. So no operator takes a whole table, and a runtime has nothing to fold, to expand
or to prepack.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import BASE_COLUMNS, MAX_BYTE_DIM, SLICE_ROWS, Kind

from .builder import BOOL, DOUBLE, FLOAT, INT32, INT64, Builder
from .query import float_query, whole_query

BLOCK_SLICES = 64
_BLOCK_ROWS, _BLOCK_ENTRIES = BLOCK_SLICES * SLICE_ROWS, 1 << 16


def scored_rows(packed: PackedFile) -> int:
    """Rows that the blocks cover: those of the last slice too."""
    return -(-packed.n_items // SLICE_ROWS) * SLICE_ROWS if packed.layout == "sliced" else packed.n_items


class Scanned(Protocol):
    """Item rows that are scored another way than the packed file's layouts."""

    def blocks(self) -> NDArray[np.int64]:
        """For each block: first row, row after the last, and what else ``sums`` wants."""

    def sums(self, b: Builder, block: list[str], operand: str) -> str:
        """The products of a block's rows with the query."""


def top_rows(b: Builder, packed: PackedFile, query: str, eligible: str, items: Scanned | None = None) -> None:
    """The k best eligible rows as ``rows`` and ``scores``: each block is scored and merged into the best.

    Args:
        b: the graph, with an input ``k``.
        packed: the file.
        query: name of the query, float64[dim].
        eligible: name of bool[scored_rows or more].
        items: its rows where they do not lie as in the file.
    """
    n = packed.n_items
    whole = packed.values in ("int8", "int4")
    operand, query_scale = (whole_query if whole else float_query)(b, query, packed.similarity)
    size = b.op("Min", b.op("Max", "k", b.ints(0)), b.ints(n), name="size")
    plan = items.blocks() if items else (_slice_blocks if packed.layout == "sliced" else _csr_blocks)(packed)
    b.constant(plan, np.int64, name="blocks")
    state = [
        b.op("Expand", b.constant(-np.inf, np.float32), size),
        b.op("Expand", b.constant(n, np.int64), size),
    ]
    body = _body(packed, items, plan.shape[1], (operand, query_scale), eligible)
    trips = b.constant(len(plan), np.int64)
    b.node("Loop", [trips, "", *state], ["best_scores", "best_rows"], body=body)
    # Places that no eligible row took still hold minus infinity; they are last.
    taken = b.op("Greater", "best_scores", b.constant(-np.inf, np.float32))
    count = b.op("ReduceSum", b.cast(taken, INT64), keepdims=1)
    b.op("Slice", "best_scores", b.ints(0), count, name="scores")
    b.op("Slice", "best_rows", b.ints(0), count, name="rows")


def _slice_blocks(packed: PackedFile) -> NDArray[np.int64]:
    """For each block: first row, row after the last, first entry, entry after the last, slices, steps."""
    pointers = packed.slice_pointers.astype(np.int64)
    steps = np.diff(pointers)
    starts = np.flatnonzero(np.concatenate(([True], steps[1:] != steps[:-1])))
    ends = np.append(starts[1:], len(steps))
    blocks = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for first in range(start, end, BLOCK_SLICES):
            last = min(first + BLOCK_SLICES, end)
            blocks.append((first, last, pointers[first], pointers[last], last - first, steps[first]))
    plan = np.array(blocks, np.int64)
    plan[:, :4] *= SLICE_ROWS
    return plan


def _csr_blocks(packed: PackedFile) -> NDArray[np.int64]:
    """For each block: first row, row after the last, first entry, entry after the last."""
    pointers = packed.section(Kind.ITEM_POINTERS, "<u4").astype(np.int64)
    blocks, first = [], 0
    while first < packed.n_items:
        # No row is longer than a block.
        within = int(np.searchsorted(pointers, pointers[first] + _BLOCK_ENTRIES, "right")) - 1
        last = min(within, first + _BLOCK_ROWS, packed.n_items)
        blocks.append((first, last, pointers[first], pointers[last]))
        first = last
    return np.array(blocks, np.int64)


def _body(
    packed: PackedFile, items: Scanned | None, numbers_of_block: int, query: tuple[str, str], eligible: str
) -> onnx.GraphProto:
    """One block: the best so far, and the block, to the best of both."""
    operand, query_scale = query
    b = Builder("block/")
    block = b.op("Gather", "blocks", "block")
    numbers = [b.op("Slice", block, b.ints(i), b.ints(i + 1)) for i in range(numbers_of_block)]
    row, end = numbers[:2]
    if items:
        sums = items.sums(b, numbers, operand)
    else:
        sums = (_slice_sums if packed.layout == "sliced" else _csr_sums)(b, packed, numbers, operand)
    scores = b.op("Mul", b.cast(sums, FLOAT), b.op("Slice", "item_scales", row, end))
    if query_scale:
        scores = b.op("Mul", scores, query_scale)
    masked = b.op("Where", b.op("Slice", eligible, row, end), scores, b.constant(-np.inf, np.float32))
    # The best so far come first and have lower rows, so TopK, which prefers the lower index among equals,
    # prefers the lower row.
    b.node("TopK", [b.op("Concat", "best", masked, axis=0), "size"], ["new_best", "places"])
    old = b.op("Less", "places", "size")
    from_best = b.op(
        "GatherElements", b.op("Concat", "rows_of_best", b.ints(0), axis=0), b.op("Min", "places", "size")
    )
    from_block = b.op("Add", b.op("Sub", "places", "size"), row)
    b.op("Where", old, from_best, from_block, name="new_rows")
    b.op("Identity", "more", name="go_on")
    value = helper.make_tensor_value_info
    best = [value("best", FLOAT, ["size"]), value("rows_of_best", INT64, ["size"])]
    return helper.make_graph(
        b.nodes,
        "block",
        [value("block", INT64, []), value("more", BOOL, []), *best],
        [value("go_on", BOOL, []), value("new_best", FLOAT, ["size"]), value("new_rows", INT64, ["size"])],
        b.initializers,
    )


def _slice_sums(b: Builder, packed: PackedFile, block: list[str], operand: str) -> str:
    """int32[rows]: the exact sums of the rows of slices of one length (docs/format.md, "Slices")."""
    _, _, start, end, slices, steps = block
    columns = b.cast(b.op("Slice", "item_columns", start, end), INT32)
    if packed.dim > MAX_BYTE_DIM:
        columns = _with_bases(b, columns, start, end)
    query = b.op("Gather", operand, columns)
    halves = b.op("Div", steps, b.ints(2))
    quads, pairs = b.op("Div", steps, b.ints(4)), b.op("Mod", halves, b.ints(2))
    single = b.op("Mod", steps, b.ints(2))
    even = b.op("Mul", halves, b.ints(2))
    if packed.values == "int4":
        values = _unpacked(b, start, end, slices, even, single)
    else:
        values = b.cast(b.op("Slice", "item_values", start, end), INT32)
    lanes = b.ints(SLICE_ROWS)
    shape = b.op("Concat", slices, steps, lanes, axis=0)
    products = b.op("Reshape", b.op("Mul", query, values), shape, allowzero=1)
    parts = []
    first = b.ints(0)
    for count, width in ((quads, 4), (pairs, 2)):
        last = b.op("Add", first, b.op("Mul", count, b.ints(width)))
        part = b.op("Slice", products, first, last, b.ints(1))
        shape = b.op("Concat", slices, count, lanes, b.ints(width), axis=0)
        parts.append(b.op("ReduceSum", b.op("Reshape", part, shape, allowzero=1), b.ints(3), keepdims=0))
        first = last
    parts.append(b.op("Slice", products, first, steps, b.ints(1)))
    if not np.diff(packed.slice_pointers.astype(np.int64)).all():
        # A slice of empty rows has no step, and a sum over nothing is not what every runtime computes.
        nothing = b.op("Concat", slices, b.ints(1), lanes, axis=0)
        parts.append(b.op("Expand", b.constant(0, np.int32), nothing))
    sums = b.op("ReduceSum", b.op("Concat", *parts, axis=1), b.ints(1), keepdims=0)
    return b.op("Reshape", sums, b.ints(-1))


def _with_bases(b: Builder, columns: str, start: str, end: str) -> str:
    """int32[entries]: columns that count from 0, of columns that count from the base of their step.

    The entries of four steps may lie among one another, but those steps have one base.
    """
    lanes = b.ints(SLICE_ROWS)
    bases = b.op("Slice", "item_bases", b.op("Div", start, lanes), b.op("Div", end, lanes))
    bases = b.op("Mul", b.cast(bases, INT32), b.constant(BASE_COLUMNS, np.int32))
    laid = b.op("Reshape", columns, b.ints(-1, SLICE_ROWS))
    return b.op("Reshape", b.op("Add", laid, b.op("Unsqueeze", bases, b.ints(1))), b.ints(-1))


def _unpacked(b: Builder, start: str, end: str, slices: str, even: str, single: str) -> str:
    """int32[entries]: the four-bit values of slices, in the order of their columns."""
    two = b.ints(2)
    packed = b.op("Slice", "item_values", b.op("Div", start, two), b.op("Div", end, two))
    packed = b.op("BitwiseXor", packed, b.constant(0x88, np.uint8))
    half = b.ints(SLICE_ROWS // 2)
    shape = b.op("Concat", slices, b.op("Add", even, single), half, axis=0)
    packed = b.op("Reshape", packed, shape, allowzero=1)
    parts = []
    for first, last, count, width in (
        (b.ints(0), even, b.op("Div", even, two), SLICE_ROWS),
        (even, b.op("Add", even, single), single, SLICE_ROWS // 2),
    ):
        unit = b.op("Concat", slices, count, b.ints(1, width), axis=0)
        part = b.op("Reshape", b.op("Slice", packed, first, last, b.ints(1)), unit, allowzero=1)
        low = b.op("BitwiseAnd", part, b.constant(15, np.uint8))
        high = b.op("BitShift", part, b.constant(4, np.uint8), direction="RIGHT")
        entries = b.op("Mul", count, b.ints(2 * width))
        both = b.op("Concat", low, high, axis=2)
        parts.append(b.op("Reshape", both, b.op("Concat", slices, entries, axis=0), allowzero=1))
    values = b.op("Reshape", b.op("Concat", *parts, axis=1), b.ints(-1))
    return b.op("Sub", b.cast(values, INT32), b.constant(8, np.int32))


def _csr_sums(b: Builder, packed: PackedFile, block: list[str], operand: str) -> str:
    """int32[rows], exact, or float64[rows]: differences of the running sum of a block's products."""
    row, end_row, start, end = block
    whole = packed.values in ("int8", "int4")
    type_, zero = (INT32, b.constant([0], np.int32)) if whole else (DOUBLE, b.constant([0], np.float64))
    query = b.cast(b.op("Gather", operand, b.cast(b.op("Slice", "item_columns", start, end), INT32)), type_)
    if packed.values == "int4":
        first = b.op("Div", start, b.ints(2))
        last = b.op("Div", b.op("Add", end, b.ints(1)), b.ints(2))
        halves = b.op("BitwiseXor", b.op("Slice", "item_values", first, last), b.constant(0x88, np.uint8))
        halves = b.op("Unsqueeze", halves, b.ints(1))
        low = b.op("BitwiseAnd", halves, b.constant(15, np.uint8))
        high = b.op("BitShift", halves, b.constant(4, np.uint8), direction="RIGHT")
        both = b.op("Reshape", b.op("Concat", low, high, axis=1), b.ints(-1))
        odd = b.op("Mod", start, b.ints(2))
        both = b.op("Slice", both, odd, b.op("Add", odd, b.op("Sub", end, start)))
        values = b.op("Sub", b.cast(both, INT32), b.constant(8, np.int32))
    else:
        values = b.cast(b.op("Slice", "item_values", start, end), type_)
    products = b.op("Concat", zero, b.op("Mul", query, values), axis=0)
    running = b.op("CumSum", products, b.constant(0, np.int64))
    pointers = b.op("Slice", "item_pointers", row, b.op("Add", end_row, b.ints(1)))
    pointers = b.op("Sub", b.cast(pointers, INT64), start)
    after = b.op("Gather", running, b.op("Slice", pointers, b.ints(1), b.ints(np.iinfo(np.int64).max)))
    before = b.op("Gather", running, b.op("Slice", pointers, b.ints(0), b.ints(-1)))
    return b.op("Sub", after, before)
