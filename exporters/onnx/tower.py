"""The fold-in tower as ONNX operators (docs/architecture.md, "Fold-in")."""

from __future__ import annotations

import numpy as np

from sparsedevice.packing import Tower
from sparsedevice.packing.tower import layer_shapes

from .builder import DOUBLE, Builder


def climb(b: Builder, tower: Tower, dim: int, start: str) -> str:
    """float64[dim]: what the tower makes of a query float64[dim]; 0 stays 0.

    Its numbers are the section ``fold_tower``. The runtime's own tanh is within 1e-8 of the contract's
    polynomial.
    """
    length = b.op("Sqrt", b.op("ReduceSum", b.op("Mul", start, start), keepdims=0))
    usable = b.op("Greater", length, b.constant(0.0, np.float64))
    query = b.op("Div", start, b.op("Where", usable, length, b.constant(1.0, np.float64)))
    at = 0
    for place, (out, into) in enumerate(layer_shapes(len(tower.layers), tower.hidden, dim)):
        middle, end = at + out * into, at + out * (into + 1)
        weights = b.op("Slice", "fold_tower", b.ints(at), b.ints(middle))
        matrix = b.cast(b.op("Reshape", weights, b.ints(out, into)), DOUBLE)
        bias = b.cast(b.op("Slice", "fold_tower", b.ints(middle), b.ints(end)), DOUBLE)
        query = b.op("Tanh", query) if place else query
        query = b.op("Add", b.op("MatMul", matrix, query), bias)
        at = end
    return b.op("Where", usable, query, start)
