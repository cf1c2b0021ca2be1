"""The recommender as the model-local ONNX function ``com.sparsedevice::SparseTopK``, of standard operators.

It computes what "Scores, exactly" in docs/architecture.md says. A session that has an operator of the same
name registered (``sd_onnx.c``: the C core) runs that instead of the function.

Inputs of the graph, all int64 and one-dimensional. Row numbers outside the table (-1 as padding, say) are
ignored::

    history[h]      rows that the user used; repeats count once
    user[1]         row of a shipped user, or -1 to use the history
    like[1]         a row whose neighbours are wanted, or -1; it comes before user and history
    excluded[e]     rows to leave out
    candidates[c]   rows to choose among; empty for all
    k[1]            how many

Outputs: ``rows`` int64[m] and ``scores`` float32[m], best first, ties by the lower row; m is k, or the number
of eligible rows where that is less.

The function's further inputs are the packed file as a whole, which only the operator reads, its first bytes,
and its sections as tensors, which only the standard operators read (``sections.py``).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from sparsedevice.packing import PackedFile, Ridge, Steps, Tower
from sparsedevice.packing.format import HEADER_BYTES

from .builder import DOUBLE, FLOAT, INT32, INT64, Builder
from .fold import refine, solve
from .rows import ItemTable, Table, weighted_sum
from .scan import scored_rows, top_rows
from .sections import file_head, tables, whole_file
from .tower import climb

OPSET = 18
IR_VERSION = 8  # the IR version that came with opset 18
DOMAIN, OPERATOR = "com.sparsedevice", "SparseTopK"
#: Name of the node that fails where the file is another one; runtimes say which node failed.
OTHER_FILE = "model.sd is damaged or not the file of this graph: take both from one export"

INPUTS: dict[str, str | int] = {
    "history": "h",
    "user": 1,
    "like": 1,
    "excluded": "e",
    "candidates": "c",
    "k": 1,
}


def recommender_graph(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> onnx.GraphProto:
    """A graph of these nodes and tensors with the inputs and outputs that all recommenders have."""
    value = helper.make_tensor_value_info
    inputs = [value(name, INT64, [size]) for name, size in INPUTS.items()]
    outputs = [value("rows", INT64, ["m"]), value("scores", FLOAT, ["m"])]
    return helper.make_graph(nodes, "sparsedevice", inputs, outputs, tensors)


def build_model(packed: PackedFile) -> tuple[onnx.GraphProto, onnx.FunctionProto]:
    """The graph of a packed file's recommender, one node, and the function that it calls."""
    tensors = [whole_file(packed), file_head(packed), *tables(packed)]
    names = [tensor.name for tensor in tensors]
    arguments = [*names[:2], *INPUTS, *names[2:]]
    node = helper.make_node(OPERATOR, arguments, ["rows", "scores"], name="recommend", domain=DOMAIN)
    graph = recommender_graph([node], tensors)
    function = helper.make_function(
        DOMAIN,
        OPERATOR,
        arguments,
        ["rows", "scores"],
        _nodes(packed),
        [helper.make_opsetid("", OPSET)],
    )
    return graph, function


def _nodes(packed: PackedFile) -> list[onnx.NodeProto]:
    b = Builder(function=True)
    nowhere = b.op("Add", b.ints(packed.n_items), _same_file(b))
    query = find_query(b, packed, Table.of(packed, "item"), nowhere)
    top_rows(b, packed, query, mark_eligible(b, packed.n_items, scored_rows(packed)))
    return b.nodes


def find_query(b: Builder, packed: PackedFile, items: ItemTable, nowhere: str) -> str:
    """float64[dim]: the row asked about, the user's row, or the history folded in.

    Args:
        b: the graph.
        packed: the file.
        items: its item rows.
        nowhere: int64[1], the number of items, which stands for a row that is none.
    """
    n, dim = packed.n_items, packed.dim
    like = _valid_or(b, "like", n, nowhere)
    alike = b.op("Less", like, nowhere, name="is_like")
    # One more row than the history has, so that no operator meets an empty tensor.
    history = b.op("Concat", b.op("Where", alike, nowhere, _valid_or(b, "history", n, nowhere)), like, axis=0)
    chosen = b.op("Unique", history, name="history_rows", sorted=1, outputs=4)
    scale = _known(b, "item_scales", n, chosen)
    one, zero = b.constant(1.0, np.float64), b.constant(0.0, np.float64)
    fold = b.op("Where", b.op("Less", chosen, nowhere), one, zero)
    if packed.fold_in.weights is not None:
        fold = b.op("Where", alike, fold, _known(b, "fold_weights", n, chosen))
    entries = items.gather(b, chosen)
    weight = b.op("Mul", fold, scale)
    query = summed = weighted_sum(b, dim, entries, weight)
    rule, matrix = packed.fold_in.rule, ""
    if packed.fold_in.matrix is not None:
        matrix = b.cast("fold_matrix", DOUBLE)
    if isinstance(rule, Ridge):
        folded = solve(b, rule, dim, matrix, entries, (scale, weight, summed))
    else:
        folded = b.op("MatMul", matrix, summed) if matrix else summed
    if isinstance(rule, Steps):
        mass = b.op("ReduceSum", fold, keepdims=0)
        folded = refine(b, rule, packed, items, (chosen, mass, summed, folded))
    if isinstance(rule, Tower):
        folded = climb(b, rule, packed.dim, folded)
    if folded != summed:
        query = b.op("Where", alike, summed, folded)
    if packed.n_users:
        query = _or_user(b, packed, alike, query)
    return query


def _same_file(b: Builder) -> str:
    """int64[1]: 0. Where the file does not begin as ``head`` says, the node of this name fails."""
    begin = b.op("Slice", "model", b.ints(0), b.ints(HEADER_BYTES))
    same = b.op("Equal", b.cast(begin, INT32), b.cast("head", INT32))
    different = b.cast(b.op("Not", same), INT64)
    place = b.op("ReduceMax", different, keepdims=1)
    zero = b.op("Gather", b.ints(0), place)
    b.nodes[-1].name = OTHER_FILE
    return zero


def _or_user(b: Builder, packed: PackedFile, alike: str, query: str) -> str:
    """float64[dim]: the query, or the row of a shipped user where one is asked for."""
    n = packed.n_users
    user = _valid_or(b, "user", n, b.ints(n))
    by_user = b.op("And", b.op("Not", alike), b.op("Less", user, b.ints(n)))
    entries = Table.of(packed, "user").gather(b, user)
    row = weighted_sum(b, packed.dim, entries, _known(b, "user_scales", n, user))
    return b.op("Where", by_user, row, query)


def _valid_or(b: Builder, rows: str, n: int, other: str) -> str:
    """Row numbers, those outside 0 … n-1 replaced by another."""
    inside = b.op("And", b.op("GreaterOrEqual", rows, b.ints(0)), b.op("Less", rows, b.ints(n)))
    return b.op("Where", inside, rows, other)


def _known(b: Builder, table: str, n: int, rows: str) -> str:
    """float64[h]: one number per row, and 0 for the row n that stands for none."""
    value = b.cast(b.op("Gather", table, b.op("Min", rows, b.ints(n - 1))), DOUBLE)
    return b.op("Where", b.op("Less", rows, b.ints(n)), value, b.constant(0.0, np.float64))


def mark_eligible(b: Builder, n: int, padded: int) -> str:
    """bool[padded + 1]: which rows may be recommended."""
    nowhere = b.ints(n)
    everything = b.op("Equal", b.op("Shape", "candidates"), b.ints(0))
    wanted = b.op("Expand", everything, nowhere)
    rest = b.op("Expand", b.constant(False, np.bool_), b.ints(padded + 1 - n))
    flags = b.op("Concat", wanted, rest, axis=0)
    # Row n stands for all that are out of range; it is switched off last.
    flags = _mark(b, flags, _valid_or(b, "candidates", n, nowhere), True)
    excluded = b.op("Concat", _valid_or(b, "excluded", n, nowhere), nowhere, axis=0)
    return _mark(b, flags, excluded, False)


def _mark(b: Builder, flags: str, rows: str, value: bool) -> str:
    filled = b.op("Expand", b.constant(value, np.bool_), b.op("Shape", rows))
    return b.op("ScatterElements", flags, rows, filled, axis=0)
