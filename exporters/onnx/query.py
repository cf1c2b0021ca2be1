"""The query as scoring wants it, as ONNX operators (docs/architecture.md, "Scores, exactly")."""

from __future__ import annotations

import numpy as np

from sparsedevice.packing.format import Similarity

from .builder import FLOAT, INT32, Builder


def whole_query(b: Builder, query: str, similarity: Similarity) -> tuple[str, str]:
    """The query as whole numbers from -127 to 127, int32[dim], and its scale, float32."""
    largest, usable = _largest(b, query)
    one, zero = b.constant(1.0, np.float64), b.constant(0.0, np.float64)
    step = b.op("Where", usable, b.op("Div", b.constant(127.0, np.float64), largest), zero)
    rounded = b.op("Round", b.op("Mul", query, step))
    if similarity == "dot":
        scale = b.cast(b.op("Div", largest, b.constant(127.0, np.float64)), FLOAT)
    else:
        square = b.op("ReduceSum", b.op("Mul", rounded, rounded), keepdims=0)
        scale = b.cast(b.op("Div", one, b.op("Sqrt", b.op("Where", usable, square, one))), FLOAT)
    return b.cast(rounded, INT32), scale


def float_query(b: Builder, query: str, similarity: Similarity) -> tuple[str, str]:
    """The query as float32[dim], of length 1 for cosine; no further scale."""
    largest, usable = _largest(b, query)
    zero = b.constant(0.0, np.float64)
    if similarity == "dot":
        return b.cast(b.op("Where", usable, query, zero), FLOAT), ""
    scaled = b.op("Where", usable, b.op("Div", query, largest), zero)
    square = b.op("ReduceSum", b.op("Mul", scaled, scaled), keepdims=0)
    norm = b.op("Sqrt", b.op("Where", usable, square, b.constant(1.0, np.float64)))
    return b.cast(b.op("Div", scaled, norm), FLOAT), ""


def _largest(b: Builder, query: str) -> tuple[str, str]:
    """max|q|, or 1 where it is zero or so small that 127 / max|q| overflows; and whether it is not."""
    largest = b.op("ReduceMax", b.op("Abs", query), keepdims=0)
    usable = b.op("Greater", largest, b.constant(127.0 / np.finfo(np.float64).max, np.float64))
    return b.op("Where", usable, largest, b.constant(1.0, np.float64)), usable
