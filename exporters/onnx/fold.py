"""Sums over chosen rows, and gradient steps on the user's vector, as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper

from sparsedevice.packing import PackedFile, Steps

from ..blocks import Group
from .builder import DOUBLE, FLOAT, INT64, Builder
from .query import float_query, whole_query


def weighted_sum(b: Builder, dim: int, groups: Sequence[Group], chosen: str, weight: str) -> str:
    """float64[dim]: sum of weight times row over the chosen rows, in the order of rows and of columns."""
    columns, products = [], []
    for inside, row_columns, values in _gathered(b, groups, chosen):
        here = b.op("Unsqueeze", b.op("Where", inside, weight, b.constant(0.0, np.float64)), b.ints(1))
        products.append(b.op("Reshape", b.op("Mul", here, values), b.ints(-1)))
        columns.append(b.op("Reshape", row_columns, b.ints(-1)))
    return scatter_sum(b, dim, _concat(b, columns), _concat(b, products))


def scatter_sum(b: Builder, dim: int, columns: str, products: str) -> str:
    """float64[dim]: products added up by column."""
    zeros = b.constant(np.zeros(dim), np.float64)
    return b.op("ScatterElements", zeros, columns, products, axis=0, reduction="add")


def refine(
    b: Builder,
    rule: Steps,
    packed: PackedFile,
    groups: Sequence[Group],
    folded: tuple[str, str, str, str],
) -> str:
    """float64[dim]: the query after the gradient steps (docs/architecture.md, "Fold-in").

    Args:
        b: the graph.
        rule: the steps.
        packed: the file.
        groups: its rows, stored.
        folded: names of the history's rows int64[h] (n stands for none), of the sum of their weights, of
            their weighted sum, and of the query to start from.
    """
    chosen, mass, summed, start = folded
    n, dim = packed.n_items, packed.dim
    one, zero = b.constant(1.0, np.float64), b.constant(0.0, np.float64)
    length = _length(b, start)
    usable = b.op("And", b.op("Greater", mass, zero), b.op("Greater", length, zero))
    b.op("Div", summed, b.op("Where", usable, mass, one), name="history_mean")
    query = b.op("Div", start, b.op("Where", usable, length, one))
    flags = b.op("Expand", b.constant(True, np.bool_), b.ints(n + 1))
    gone = b.op("Expand", b.constant(False, np.bool_), b.op("Shape", chosen))
    b.op("ScatterElements", flags, chosen, gone, axis=0, name="not_in_history")
    sampled = b.table("fold_samples", np.stack([rule.sample(step, n) for step in range(rule.count)]))
    lengths = b.table("fold_lengths", np.array([rule.step_length(step) for step in range(rule.count)]))

    body = Builder("step/")
    e = _powers(body, rule, packed, groups)
    pull = weighted_sum(body, dim, groups, "sample", body.op("Mul", e, "sample_scales"))
    total = body.op("ReduceSum", e, keepdims=0)
    some = body.op("Greater", total, body.constant(0.0, np.float64))
    pull = body.op("Div", pull, body.op("Where", some, total, body.constant(1.0, np.float64)))
    moved = body.op("Add", "query", body.op("Mul", "length", body.op("Sub", "history_mean", pull)))
    norm = _length(body, moved)
    some = body.op("Greater", norm, body.constant(0.0, np.float64))
    body.op("Div", moved, body.op("Where", some, norm, body.constant(1.0, np.float64)), name="new_query")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        body.nodes,
        "step",
        [value("query", DOUBLE, [dim]), value("sample", INT64, [rule.rows]), value("length", DOUBLE, [])],
        [value("new_query", DOUBLE, [dim])],
        body.initializers,
    )
    b.node("Scan", [query, sampled, lengths], ["refined"], num_scan_inputs=2, body=graph)
    return b.op("Where", usable, "refined", start)


def _powers(b: Builder, rule: Steps, packed: PackedFile, groups: Sequence[Group]) -> str:
    """float64[rows]: e^(sharpness (score - 1)) of the sample's rows, 0 for those of the history."""
    scales = b.op("Gather", "item_scales", "sample")
    b.op("Cast", scales, to=DOUBLE, name="sample_scales")
    whole = packed.values in ("int8", "int4")
    query, query_scale = (whole_query if whole else float_query)(b, "query", packed.similarity)
    query = b.cast(query, DOUBLE)
    scores = b.constant(np.zeros(rule.rows), np.float64)
    for inside, columns, values in _gathered(b, groups, "sample"):
        products = b.op("Mul", values, b.op("Gather", query, columns))
        sums = b.op("ReduceSum", products, b.ints(1), keepdims=0)
        scores = b.op("Where", inside, sums, scores)
    scores = b.op("Mul", b.cast(scores, FLOAT), scales)
    if query_scale:
        scores = b.op("Mul", scores, query_scale)
    shifted = b.op("Sub", b.cast(scores, DOUBLE), b.constant(1.0, np.float64))
    e = _exponential(b, b.op("Mul", shifted, b.constant(np.float32(rule.sharpness), np.float64)))
    return b.op("Where", b.op("Gather", "not_in_history", "sample"), e, b.constant(0.0, np.float64))


def _exponential(b: Builder, x: str) -> str:
    """e^x by the polynomial that all backends use, so that Exp's last bits do not matter."""

    def number(value: float) -> str:
        return b.constant(value, np.float64)

    x = b.op("Min", b.op("Max", x, number(-700.0)), number(700.0))
    k = b.op("Round", b.op("Mul", x, number(1.4426950408889634)))
    r = b.op("Sub", x, b.op("Mul", k, number(6.93147180369123816490e-01)))
    r = b.op("Sub", r, b.op("Mul", k, number(1.90821492927058770002e-10)))
    p = number(1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = b.op("Add", b.op("Mul", p, r), number(coefficient))
    return b.op("Mul", p, b.op("Pow", number(2.0), k))


def _length(b: Builder, vector: str) -> str:
    return b.op("Sqrt", b.op("ReduceSum", b.op("Mul", vector, vector), keepdims=0))


def _gathered(b: Builder, groups: Sequence[Group], chosen: str) -> list[tuple[str, str, str]]:
    """For each group: which of the chosen rows it has, bool[h], their columns and values [h, width]."""
    found = []
    for i, group in enumerate(groups):
        local = b.op("Sub", chosen, b.ints(group.start))
        inside = b.op(
            "And", b.op("GreaterOrEqual", local, b.ints(0)), b.op("Less", local, b.ints(group.n_rows))
        )
        at = b.op("Where", inside, local, b.ints(0))
        block = b.op("Div", at, b.ints(group.block_rows))
        lane = b.op("Sub", at, b.op("Mul", block, b.ints(group.block_rows)))
        where = b.op(
            "Concat", b.op("Unsqueeze", block, b.ints(1)), b.op("Unsqueeze", lane, b.ints(1)), axis=1
        )
        values = b.cast(b.op("GatherND", f"values_{i}", where), DOUBLE)
        columns = b.cast(b.op("GatherND", f"columns_{i}", where), INT64)
        found.append((inside, columns, values))
    return found


def _concat(b: Builder, names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else b.op("Concat", *names, axis=0)
