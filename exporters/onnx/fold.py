"""What follows the weighted sum of a history, as ONNX operators: gradient steps, or a ridge solved."""

from __future__ import annotations

import numpy as np
from onnx import helper

from sparsedevice.packing import PackedFile, Ridge, Steps

from .builder import BOOL, DOUBLE, FLOAT, INT64, Builder
from .query import float_query, whole_query
from .rows import Entries, ItemTable, products_with, weighted_sum


def refine(
    b: Builder,
    rule: Steps,
    packed: PackedFile,
    items: ItemTable,
    folded: tuple[str, str, str, str],
) -> str:
    """float64[dim]: the query after the gradient steps (docs/architecture.md, "Fold-in").

    Args:
        b: the graph.
        rule: the steps.
        packed: the file.
        items: its rows.
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
    entries = items.gather(body, "sample")
    e = _powers(body, rule, packed, entries)
    pull = weighted_sum(body, dim, entries, body.op("Mul", e, "sample_scales"))
    total = body.op("ReduceSum", e, keepdims=0)
    some = body.op("Greater", total, body.constant(0.0, np.float64))
    pull = body.op("Div", pull, body.op("Where", some, total, body.constant(1.0, np.float64)))
    pull = body.op("Mul", body.constant(np.float32(rule.pull), np.float64), pull)
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


def solve(
    b: Builder, rule: Ridge, dim: int, matrix: str, entries: Entries, folded: tuple[str, str, str]
) -> str:
    """float64[dim]: conjugate gradients on ``(penalty + matrix + sum of weight v v') q = sum of weight v``.

    Args:
        b: the graph.
        rule: penalty and number of steps.
        dim: columns.
        matrix: name of the fold-in matrix, float64[dim, dim]; "" for none.
        entries: the history's rows, stored values.
        folded: names of the rows' scales and of weight times scale, float64[h], and of the right side.
    """
    scale, weight, right = folded
    body = Builder("ridge/")
    product = body.op("Mul", body.constant(np.float32(rule.penalty), np.float64), "p")
    if matrix:
        product = body.op("Add", product, body.op("MatMul", matrix, "p"))
    along = body.op("Mul", scale, products_with(body, entries, "p"))
    product = body.op("Add", product, weighted_sum(body, dim, entries, body.op("Mul", weight, along)))
    zero, one = body.constant(0.0, np.float64), body.constant(1.0, np.float64)
    curvature = _dot(body, "p", product)
    curved = body.op("Greater", curvature, zero)
    alpha = body.op("Where", curved, body.op("Div", "square", body.op("Where", curved, curvature, one)), zero)
    body.op("Add", "q", body.op("Mul", alpha, "p"), name="new_q")
    body.op("Sub", "r", body.op("Mul", alpha, product), name="new_r")
    after = _dot(body, "new_r", "new_r")
    body.op("Add", "new_r", body.op("Mul", body.op("Div", after, "square"), "p"), name="new_p")
    body.op("Identity", after, name="new_square")
    body.op("And", curved, body.op("Greater", after, zero), name="go_on")
    value = helper.make_tensor_value_info
    state = ("q", "r", "p")
    graph = helper.make_graph(
        body.nodes,
        "ridge",
        [
            value("step", INT64, []),
            value("more", BOOL, []),
            *(value(name, DOUBLE, [dim]) for name in state),
            value("square", DOUBLE, []),
        ],
        [
            value("go_on", BOOL, []),
            *(value(f"new_{name}", DOUBLE, [dim]) for name in state),
            value("new_square", DOUBLE, []),
        ],
        body.initializers,
    )
    square = _dot(b, right, right)
    some = b.op("Greater", square, b.constant(0.0, np.float64))
    start = [b.constant(np.zeros(dim), np.float64), right, right, square]
    trips = b.constant(rule.iterations, np.int64)
    b.node("Loop", [trips, some, *start], ["solved", "rest", "direction", "rest_square"], body=graph)
    return "solved"


def _dot(b: Builder, x: str, y: str) -> str:
    return b.op("ReduceSum", b.op("Mul", x, y), keepdims=0)


def _powers(b: Builder, rule: Steps, packed: PackedFile, entries: Entries) -> str:
    """float64[rows]: e^(sharpness (score - 1)) of the sample's rows, 0 for those of the history."""
    scales = b.op("Gather", "item_scales", "sample")
    b.op("Cast", scales, to=DOUBLE, name="sample_scales")
    whole = packed.values in ("int8", "int4")
    query, query_scale = (whole_query if whole else float_query)(b, "query", packed.similarity)
    query = b.cast(query, DOUBLE)
    scores = products_with(b, entries, query)
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
    return b.op("Sqrt", _dot(b, vector, vector))
