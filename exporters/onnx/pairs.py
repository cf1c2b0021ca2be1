"""A recommender whose scores are a network's output for each pair (NeuMF) as one ONNX graph.

Inputs and outputs are those of ``graph.py``. A row that is asked about by ``like`` is taken for a history of
that one item, since rows of items are no queries here. The table is scored in blocks, so that the hidden
units of one block of rows are what is held.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from sparsedevice.errors import TargetError
from sparsedevice.packing import PackedFile
from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.packing.quantize import Rows

from ..padded_rows import pad_rows
from .builder import DOUBLE, FLOAT, INT32, INT64, Builder
from .graph import recommender_graph

_TYPES = {np.dtype(np.int8): onnx.TensorProto.INT8, np.dtype(np.float16): onnx.TensorProto.FLOAT16,
          np.dtype(np.float32): FLOAT}  # fmt: skip


def build_pairs(packed: PackedFile, network: PairNetwork) -> onnx.GraphProto:
    """Build the graph of a packed file with a pair network.

    Raises:
        TargetError: if the file has a fold-in rule that this graph does not compute.
    """
    if packed.fold_in.rule is not None:
        raise TargetError(
            f"target 'onnx' does not fold histories in by {packed.fold_in.kind} for a model with a network;"
            " train with --fold-in sum or matrix"
        )
    b = Builder()
    n = packed.n_items
    items = _store(b, "item", packed.item_rows)
    query = _unit(b, _query(b, packed, items))
    scores = _scores(b, PairScores(b, network, query), items)
    _top_rows(b, b.op("Slice", scores, b.ints(0), b.ints(n)), n)
    return recommender_graph(b.nodes, b.initializers)


class Stored(NamedTuple):
    """Rows in blocks, stored as ``<name>_columns``, ``_values`` and ``_scales`` of ``PaddedRows``."""

    name: str
    n_rows: int
    values: NDArray[Any]


def _store(b: Builder, name: str, rows: Rows) -> Stored:
    found = pad_rows(rows, "onnx")
    b.table(f"{name}_columns", found.columns)
    b.table(f"{name}_values", found.values)
    b.table(f"{name}_scales", found.scales)
    return Stored(name, found.n_rows, found.values)


def _query(b: Builder, packed: PackedFile, items: Stored) -> str:
    """float64[dim]: the history (or the one item) folded in, or the user's row."""
    n, dim, fold_in = packed.n_items, packed.dim, packed.fold_in
    like = _valid_or(b, "like", n)
    alike = b.op("Less", like, b.ints(n))
    history = b.op("Where", alike, b.ints(n), _valid_or(b, "history", n))
    chosen = b.op("Unique", b.op("Concat", history, like, axis=0), sorted=1, outputs=4)
    weight = None if fold_in.weights is None else b.table("fold_weights", np.array(fold_in.weights))
    query = _sum(b, items, chosen, dim, weight)
    if fold_in.matrix is not None:
        query = b.op("MatMul", b.cast(b.table("fold_matrix", np.array(fold_in.matrix)), DOUBLE), query)
    if packed.user_rows is None:
        return query
    users = _store(b, "user", packed.user_rows)
    user = _valid_or(b, "user", packed.n_users)
    shipped = b.op("And", b.op("Not", alike), b.op("Less", user, b.ints(packed.n_users)))
    return b.op("Where", shipped, _sum(b, users, user, dim, None), query)


def _sum(b: Builder, rows: Stored, chosen: str, dim: int, weight: str | None) -> str:
    """float64[dim]: the sum of the chosen rows int64[h] (n_rows stands for none), each by its weight."""
    last = b.op("Min", chosen, b.ints(rows.n_rows - 1))

    def looked_up(part: str, *shape: int) -> str:
        return b.op("Gather", b.op("Reshape", f"{rows.name}_{part}", b.ints(*shape)), last)

    known = b.cast(b.op("Less", chosen, b.ints(rows.n_rows)), DOUBLE)
    factor = b.op("Mul", b.cast(looked_up("scales", -1), DOUBLE), known)
    if weight is not None:
        factor = b.op("Mul", factor, b.cast(b.op("Gather", weight, last), DOUBLE))
    width = rows.values.shape[2]
    values = b.cast(looked_up("values", -1, width), DOUBLE)
    products = b.op("Mul", b.op("Unsqueeze", factor, b.ints(1)), values)
    columns = b.cast(looked_up("columns", -1, width), INT64)
    flat = (b.op("Reshape", part, b.ints(-1)) for part in (columns, products))
    return b.op("ScatterElements", b.constant(np.zeros(dim), np.float64), *flat, axis=0, reduction="add")


def _unit(b: Builder, query: str) -> str:
    length = b.op("Sqrt", b.op("ReduceSum", b.op("Mul", query, query), keepdims=0))
    some = b.op("Greater", length, b.constant(0.0, np.float64))
    return b.op("Div", query, b.op("Where", some, length, b.constant(1.0, np.float64)))


def _valid_or(b: Builder, rows: str, n: int) -> str:
    """Row numbers, those outside 0 … n-1 replaced by n."""
    inside = b.op("And", b.op("GreaterOrEqual", rows, b.ints(0)), b.op("Less", rows, b.ints(n)))
    return b.op("Where", inside, rows, b.ints(n))


def _scores(b: Builder, pairs: PairScores, stored: Stored) -> str:
    """float32[rows and padding]: all scores, block by block."""
    name, values = stored.name, stored.values
    body = Builder("block/")
    pairs.block(body, "columns", "values", "scales")
    column = onnx.TensorProto.UINT8 if pairs.dim <= 256 else onnx.TensorProto.UINT16
    shape = list(values.shape[1:])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        body.nodes,
        "block",
        [
            value("columns", column, shape),
            value("values", _TYPES[values.dtype], shape),
            value("scales", FLOAT, shape[:1]),
        ],
        [value("block_scores", FLOAT, shape[:1])],
        body.initializers,
    )
    inputs = [f"{name}_{part}" for part in ("columns", "values", "scales")]
    b.node("Scan", inputs, ["all_scores"], num_scan_inputs=3, body=graph)
    return b.op("Reshape", "all_scores", b.ints(-1))


def _top_rows(b: Builder, scores: str, n: int) -> None:
    """The k best eligible rows; TopK prefers the lower of equal ones."""
    everything = b.op("Equal", b.op("Shape", "candidates"), b.ints(0))
    # Row n stands for all that are out of range.
    flags = b.op("Concat", b.op("Expand", everything, b.ints(n)), b.constant([False], np.bool_), axis=0)
    for rows, allowed in (("candidates", True), ("excluded", False)):
        filled = b.op("Expand", b.constant(allowed, np.bool_), b.op("Shape", rows))
        flags = b.op("ScatterElements", flags, _valid_or(b, rows, n), filled, axis=0)
    eligible = b.op("Slice", flags, b.ints(0), b.ints(n))
    masked = b.op("Where", eligible, scores, b.constant(-np.inf, np.float32))
    count = b.op("ReduceSum", b.cast(eligible, INT64), keepdims=1)
    size = b.op("Min", b.op("Max", "k", b.ints(0)), count)
    b.node("TopK", [masked, size], ["scores", "rows"])


class PairScores:
    """What a block's body needs of the graph around it.

    A row v enters the first layer and the products as a sum over its entries: of rows of one table,
    ``network_columns`` float32[dim, h + 1], whose row c holds what column c adds to the h units (0 for the
    columns of the products), and 0; and of the query's weighted columns, which fill the last place. So a
    block looks its entries up once.
    """

    def __init__(self, b: Builder, network: PairNetwork, query: str) -> None:
        """Store the network and prepare the query float64[dim], at length 1, in the graph ``b``."""
        g, h = len(network.gmf), len(network.bias)
        rest = network.dim - g
        item = np.zeros((network.dim, h), np.float32)
        item[g:] = network.item.T
        weights = np.concatenate((network.gmf, np.zeros(rest, np.float32)))
        user = np.zeros((network.dim, h), np.float32)
        user[g:] = network.user.T
        vector = b.cast(query, FLOAT)
        asked = b.op("MatMul", vector, b.table("network_user", user))
        self.asked = b.op("Add", asked, b.table("network_bias", network.bias))
        products = b.op("Mul", vector, b.table("network_gmf", weights))
        column = b.op("Unsqueeze", products, b.ints(1))
        self.columns = b.op("Concat", b.table("network_item", item), column, axis=1)
        self.second = b.table("network_second", np.ascontiguousarray(network.second.T))
        self.second_bias = b.table("network_second_bias", network.second_bias)
        self.output = b.table("network_output", network.output.reshape(-1, 1))
        self.hidden, self.dim = h, network.dim

    def block(self, b: Builder, columns: str, values: str, scales: str) -> str:
        """float32[block_rows]: the scores of a block of columns and values [block_rows, width]."""
        looked_up = b.op("Gather", self.columns, b.cast(columns, INT32))
        products = b.op("Mul", looked_up, b.op("Unsqueeze", b.cast(values, FLOAT), b.ints(2)))
        sums = b.op("ReduceSum", products, b.ints(1), keepdims=0)
        sums = b.op("Mul", sums, b.op("Unsqueeze", scales, b.ints(1)))
        units = b.op("Slice", sums, b.ints(0), b.ints(self.hidden), b.ints(1))
        direct = b.op("Slice", sums, b.ints(self.hidden), b.ints(self.hidden + 1), b.ints(1))
        first = b.op("Relu", b.op("Add", units, self.asked))
        second = b.op("Relu", b.op("Add", b.op("MatMul", first, self.second), self.second_bias))
        scores = b.op("Add", b.op("MatMul", second, self.output), direct)
        return b.op("Squeeze", scores, b.ints(1), name="block_scores")
