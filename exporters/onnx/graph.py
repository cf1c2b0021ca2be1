"""The recommender as one graph of standard ONNX operators.

It computes what "Scores, exactly" in docs/architecture.md says.

Inputs, all int64 and one-dimensional. Row numbers outside the table (-1 as padding, say) are ignored::

    history[h]      rows that the user used; repeats count once
    user[1]         row of a shipped user, or -1 to use the history; only in graphs that ship users
    like[1]         a row whose neighbours are wanted, or -1; it comes before user and history
    excluded[e]     rows to leave out
    candidates[c]   rows to choose among; empty for all
    k[1]            how many

Outputs: ``rows`` int64[m] and ``scores`` float32[m], best first, ties by the lower row; m is k, or the number
of eligible rows where that is less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from sparsedevice.packing import PackedFile, Steps
from sparsedevice.packing.format import Similarity
from sparsedevice.packing.quantize import Rows

from ..blocks import Group, cut
from ..refuse import refuse_ridge
from .builder import DOUBLE, FLOAT, INT32, INT64, Builder
from .fold import refine, scatter_sum, weighted_sum
from .query import float_query, whole_query

OPSET = 18
IR_VERSION = 8  # the IR version that came with opset 18

_NP_TO_ONNX = {"int8": TensorProto.INT8, "float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT}


def build_graph(packed: PackedFile) -> onnx.GraphProto:
    """Build the graph of a packed file's recommender.

    Tables are stored as they are packed (one byte a column up to 256 columns; int4 values as int8); no node
    takes a whole table as an operand, so a runtime has nothing to fold, to expand or to prepack.

    Raises:
        TargetError: if the file folds histories in by ridge.
    """
    refuse_ridge(packed, "onnx")
    rows = packed.item_rows
    builder = Builder()
    groups = cut(rows)
    _store(builder, groups)
    with_users = packed.user_rows is not None
    query = _query(builder, packed, groups)
    eligible = _eligible(builder, packed.n_items, groups[-1].start + groups[-1].n_rows)
    _top_rows(builder, query, groups, rows, packed.similarity, eligible)
    return helper.make_graph(
        builder.nodes, "sparsedevice", graph_inputs(users=with_users), graph_outputs(), builder.initializers
    )


def graph_inputs(*, users: bool) -> list[onnx.ValueInfoProto]:
    """The inputs of a recommender's graph, in their order; ``user`` only with ``users``."""
    sizes: dict[str, str | int] = {
        "history": "h", "user": 1, "like": 1, "excluded": "e", "candidates": "c", "k": 1
    }  # fmt: skip
    return [
        helper.make_tensor_value_info(name, INT64, [size])
        for name, size in sizes.items()
        if name != "user" or users
    ]


def graph_outputs() -> list[onnx.ValueInfoProto]:
    """The outputs of a recommender's graph."""
    return [
        helper.make_tensor_value_info("rows", INT64, ["m"]),
        helper.make_tensor_value_info("scores", FLOAT, ["m"]),
    ]


def _store(b: Builder, groups: Sequence[Group]) -> None:
    for i, group in enumerate(groups):
        b.table(f"columns_{i}", group.columns)
        b.table(f"values_{i}", group.values)


# --- the query, in float64 ---------------------------------------------------------------------------------


def _query(b: Builder, packed: PackedFile, groups: Sequence[Group]) -> str:
    """float64[dim]: the row asked about, the user's row, or the history folded in."""
    n = packed.n_items
    nowhere = b.ints(n)
    like = _valid_or(b, "like", n)
    alike = b.op("Less", like, nowhere, name="is_like")
    # One more row than the history has, so that no operator meets an empty tensor.
    history = b.op("Concat", b.op("Where", alike, nowhere, _valid_or(b, "history", n)), like, axis=0)
    chosen = b.op("Unique", history, name="history_rows", sorted=1, outputs=4)
    padding = np.ones(groups[-1].start + groups[-1].n_rows - n, np.float32)
    b.table("item_scales", np.concatenate((packed.item_rows.scales, padding)))
    scale = _known(b, "item_scales", n, chosen)
    fold = b.op(
        "Where", b.op("Less", chosen, nowhere), b.constant(1.0, np.float64), b.constant(0.0, np.float64)
    )
    if packed.fold_in.weights is not None:
        table = b.table("fold_weights", np.ascontiguousarray(packed.fold_in.weights))
        weight = _known(b, table, n, chosen)
        fold = b.op("Where", alike, fold, weight)
    summed = weighted_sum(b, packed.dim, groups, chosen, b.op("Mul", fold, scale))
    query = folded = summed
    if packed.fold_in.matrix is not None:
        matrix = b.cast(b.table("fold_matrix", np.ascontiguousarray(packed.fold_in.matrix)), DOUBLE)
        folded = b.op("MatMul", matrix, summed)
    if isinstance(packed.fold_in.rule, Steps):
        mass = b.op("ReduceSum", fold, keepdims=0)
        folded = refine(b, packed.fold_in.rule, packed, groups, (chosen, mass, summed, folded))
    if folded != summed:
        query = b.op("Where", alike, summed, folded)
    if packed.user_rows is not None:
        user = _valid_or(b, "user", packed.n_users)
        by_user = b.op("And", b.op("Not", alike), b.op("Less", user, b.ints(packed.n_users)))
        query = b.op("Where", by_user, _user_row(b, packed.user_rows, user), query)
    return query


def _valid_or(b: Builder, rows: str, n: int) -> str:
    """Row numbers, those outside 0 … n-1 replaced by n."""
    inside = b.op("And", b.op("GreaterOrEqual", rows, b.ints(0)), b.op("Less", rows, b.ints(n)))
    return b.op("Where", inside, rows, b.ints(n))


def _known(b: Builder, table: str, n: int, rows: str) -> str:
    """float64[h]: one number per row, and 0 for the row n that stands for none."""
    value = b.cast(b.op("Gather", table, b.op("Min", rows, b.ints(n - 1))), DOUBLE)
    return b.op("Where", b.op("Less", rows, b.ints(n)), value, b.constant(0.0, np.float64))


def _user_row(b: Builder, users: Rows, user: str) -> str:
    """float64[dim]: one user's row, cut out of CSR arrays."""
    n = len(users.scales)
    b.table("user_columns", users.columns.astype(np.uint8 if users.dim <= 256 else np.uint16))
    b.table("user_values", users.values)
    b.table("user_pointers", users.indptr.astype(np.int64))
    last = b.op("Min", user, b.ints(n - 1))
    start = b.op("Gather", "user_pointers", last)
    end = b.op("Gather", "user_pointers", b.op("Add", last, b.ints(1)))
    columns = b.cast(b.op("Slice", "user_columns", start, end), INT64)
    values = b.cast(b.op("Slice", "user_values", start, end), DOUBLE)
    scale = b.cast(b.op("Gather", b.table("user_scales", users.scales), last), DOUBLE)
    return scatter_sum(b, users.dim, columns, b.op("Mul", scale, values))


# --- scoring and the choice, block by block -----------------------------------------------------------------


def _top_rows(
    b: Builder, query: str, groups: Sequence[Group], rows: Rows, similarity: Similarity, eligible: str
) -> None:
    """The k best eligible rows: each block is scored and merged into the best so far."""
    n = len(rows.scales)
    whole = rows.values.dtype == np.int8
    operand, query_scale = (whole_query if whole else float_query)(b, query, similarity)
    size = b.op("Min", b.op("Max", "k", b.ints(0)), b.ints(n))
    state = [
        b.op("Expand", b.constant(-np.inf, np.float32), size),
        b.op("Expand", b.constant(n, np.int64), size),
        b.ints(0),
    ]
    for i, group in enumerate(groups):
        after = [f"best_scores_{i}", f"best_rows_{i}", f"next_row_{i}"]
        body = _block(group, operand, query_scale, eligible, size)
        b.node("Scan", [*state, f"columns_{i}", f"values_{i}"], after, num_scan_inputs=2, body=body)
        state = after
    # Places that no eligible row took still hold minus infinity; they are last.
    taken = b.op("Greater", state[0], b.constant(-np.inf, np.float32))
    count = b.op("ReduceSum", b.cast(taken, INT64), keepdims=1)
    b.op("Slice", state[0], b.ints(0), count, name="scores")
    b.op("Slice", state[1], b.ints(0), count, name="rows")


def _block(group: Group, operand: str, query_scale: str, eligible: str, size: str) -> onnx.GraphProto:
    """Body of the scan: the best so far, and one block, to the best of both."""
    b = Builder("block/")
    whole = group.values.dtype == np.int8
    looked_up = b.op("Gather", operand, b.cast("columns", INT32))
    product = b.op("Mul", looked_up, b.cast("values", INT32 if whole else FLOAT))
    sums = b.op("ReduceSum", product, b.ints(1), keepdims=0)
    end = b.op("Add", "row", b.ints(group.block_rows), name="next_row")
    scores = b.op("Mul", b.cast(sums, FLOAT) if whole else sums, b.op("Slice", "item_scales", "row", end))
    if query_scale:
        scores = b.op("Mul", scores, query_scale)
    masked = b.op("Where", b.op("Slice", eligible, "row", end), scores, b.constant(-np.inf, np.float32))
    # The best so far come first and have lower rows, so TopK, which prefers the lower index among equals,
    # prefers the lower row.
    b.node("TopK", [b.op("Concat", "best_scores", masked, axis=0), size], ["new_scores", "places"])
    old = b.op("Less", "places", size)
    from_best = b.op(
        "GatherElements", b.op("Concat", "best_rows", b.ints(0), axis=0), b.op("Min", "places", size)
    )
    from_block = b.op("Add", b.op("Sub", "places", size), "row")
    b.op("Where", old, from_best, from_block, name="new_rows")
    shape = [group.block_rows, group.width]
    column = TensorProto.UINT8 if group.columns.dtype == np.uint8 else TensorProto.UINT16
    value = helper.make_tensor_value_info
    return helper.make_graph(
        b.nodes,
        "block",
        [
            value("best_scores", FLOAT, ["size"]),
            value("best_rows", INT64, ["size"]),
            value("row", INT64, [1]),
            value("columns", column, shape),
            value("values", _NP_TO_ONNX[group.values.dtype.name], shape),
        ],
        [
            value("new_scores", FLOAT, ["size"]),
            value("new_rows", INT64, ["size"]),
            value("next_row", INT64, [1]),
        ],
        b.initializers,
    )


def _eligible(b: Builder, n: int, padded: int) -> str:
    """bool[padded + 1]: which rows may be recommended."""
    everything = b.op("Equal", b.op("Shape", "candidates"), b.ints(0))
    wanted = b.op("Expand", everything, b.ints(n))
    flags = b.op(
        "Concat", wanted, b.op("Expand", b.constant(False, np.bool_), b.ints(padded + 1 - n)), axis=0
    )
    # Row n stands for all that are out of range; it is switched off last.
    flags = _mark(b, flags, _valid_or(b, "candidates", n), True)
    excluded = b.op("Concat", _valid_or(b, "excluded", n), b.ints(n), axis=0)
    return _mark(b, flags, excluded, False)


def _mark(b: Builder, flags: str, rows: str, value: bool) -> str:
    filled = b.op("Expand", b.constant(value, np.bool_), b.op("Shape", rows))
    return b.op("ScatterElements", flags, rows, filled, axis=0)
