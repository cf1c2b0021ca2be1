"""Item rows as bitmaps: a bit for each column that a row has, and the values in their order.

At dim / 8 bytes a row for the columns it is smaller than columns of a byte each where rows have more than
dim / 8 entries, and slower: the bits of every row are spread out to find its columns. All rows have equally
many entries, shorter ones being filled up with zeros, so that no row needs a pointer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from sparsedevice.errors import TargetError
from sparsedevice.packing import PackedFile
from sparsedevice.packing.quantize import Rows

from ..padded_rows import MOST_PADDING
from .builder import BOOL, DOUBLE, INT32, Builder
from .graph import find_query, mark_eligible, recommender_graph
from .rows import Entries
from .scan import top_rows
from .sections import tables

BLOCK_ROWS = 4096
#: Values of a table that may be filled up as much as it takes.
SMALL = 1 << 18


def build_bitmap(packed: PackedFile) -> onnx.GraphProto:
    """The graph of a packed file's recommender over bitmaps; it holds all its tables itself.

    Inputs and outputs are those of ``graph.py``.

    Raises:
        TargetError: if rows differ so much in length that filling them up makes the table much larger.
    """
    b = Builder()
    items = Bitmap.of(b, packed)
    kept = [tensor for tensor in tables(packed) if not tensor.name.startswith("item_")]
    b.initializers += [_held(tensor, packed) for tensor in kept]
    query = find_query(b, packed, items, b.ints(packed.n_items))
    top_rows(b, packed, query, mark_eligible(b, packed.n_items, packed.n_items), items)
    return recommender_graph(b.nodes, b.initializers)


def _held(tensor: onnx.TensorProto, packed: PackedFile) -> onnx.TensorProto:
    """The tensor with its bytes in it, where they lie in the packed file."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return tensor
    place = {entry.key: entry.value for entry in tensor.external_data}
    first = int(place["offset"])
    held = packed.data[first : first + int(place["length"])].tobytes()
    return onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=held)


@dataclass(frozen=True)
class Bitmap:
    """Item rows in a graph as ``item_bits`` uint8[n, dim / 8] and ``item_values`` [n, width].

    Attributes:
        n_rows: rows.
        width: entries of each row.
        whole: whether sums are of whole numbers.
        nibbles: whether values are two in a byte, uint8[n, width / 2], each plus 8.
    """

    n_rows: int
    width: int
    whole: bool
    nibbles: bool

    @classmethod
    def of(cls, b: Builder, packed: PackedFile) -> Bitmap:
        """Store the items of a file in the graph ``b``."""
        nibbles = packed.values == "int4"
        bits, values = _lay_out(packed.item_rows)
        width = values.shape[1]
        if nibbles:
            wide = np.pad(values, ((0, 0), (0, width % 2))).astype(np.uint8) + np.uint8(8)
            values = wide[:, 0::2] | wide[:, 1::2] << np.uint8(4)
        b.table("item_bits", bits)
        b.table("item_values", values)
        b.table("item_scales", packed.item_rows.scales)
        return cls(packed.n_items, width, packed.values in ("int8", "int4"), nibbles)

    def gather(self, b: Builder, rows: str) -> Entries:
        """The entries of rows, int64[h]; of those outside the table, n_rows for one, none."""
        inside = b.op("Unsqueeze", b.op("Less", rows, b.ints(self.n_rows)), b.ints(1))
        at = b.op("Min", rows, b.ints(self.n_rows - 1))
        columns = self._columns(b, b.op("Gather", "item_bits", at))
        values = b.cast(self._values(b, b.op("Gather", "item_values", at)), DOUBLE)
        return Entries(columns, b.op("Where", inside, values, b.constant(0.0, np.float64)))

    def blocks(self) -> NDArray[np.int64]:
        """For each block of the scan: first row, row after the last."""
        first = np.arange(0, self.n_rows, BLOCK_ROWS)
        return np.stack((first, np.minimum(first + BLOCK_ROWS, self.n_rows)), axis=1)

    def sums(self, b: Builder, block: list[str], operand: str) -> str:
        """int32[rows], exact, or float64[rows]: the products of a block's rows with the query."""
        type_ = INT32 if self.whole else DOUBLE
        columns = self._columns(b, b.op("Slice", "item_bits", *block))
        query = b.op("Gather", b.cast(operand, type_), columns)
        values = b.cast(self._values(b, b.op("Slice", "item_values", *block)), type_)
        return b.op("ReduceSum", b.op("Mul", query, values), b.ints(1), keepdims=0)

    def _columns(self, b: Builder, bits: str) -> str:
        """int64[m, width]: the columns of rows whose bits are uint8[m, dim / 8]."""
        masks = b.constant(1 << np.arange(8), np.uint8)
        found = b.cast(b.op("BitwiseAnd", b.op("Unsqueeze", bits, b.ints(2)), masks), BOOL)
        places = b.op("NonZero", b.op("Reshape", found, b.ints(0, -1)))
        return b.op("Reshape", b.op("Gather", places, b.constant(1, np.int64)), b.ints(-1, self.width))

    def _values(self, b: Builder, stored: str) -> str:
        if not self.nibbles:
            return stored
        low = b.op("BitwiseAnd", stored, b.constant(15, np.uint8))
        high = b.op("BitShift", stored, b.constant(4, np.uint8), direction="RIGHT")
        parts = [b.op("Unsqueeze", part, b.ints(2)) for part in (low, high)]
        both = b.op("Reshape", b.op("Concat", *parts, axis=2), b.ints(0, -1))
        if self.width % 2:
            both = b.op("Slice", both, b.ints(0), b.ints(self.width), b.ints(1))
        return b.op("Sub", b.cast(both, INT32), b.constant(8, np.int32))


def _lay_out(rows: Rows) -> tuple[NDArray[np.uint8], NDArray[np.generic]]:
    """Bits uint8[n, dim / 8], that of the lowest column lowest, and values [n, width]."""
    lengths = np.diff(rows.indptr)
    n, width = len(lengths), max(1, int(lengths.max()))
    if n * width > max(MOST_PADDING * len(rows.values), SMALL):
        raise TargetError(
            f"layout 'bitmap' fills all rows up to the longest: {width} of {rows.dim} entries where rows have"
            f" {lengths.mean():.1f}, which makes the values {n * width / len(rows.values):.1f} times as many,"
            f" above the limit of {MOST_PADDING}; use --layout auto, or train with --fan-in fixed"
        )
    bits, values = [], []
    for first in range(0, n, BLOCK_ROWS):  # no array of rows x columns
        last = min(first + BLOCK_ROWS, n)
        begin, end = rows.indptr[first], rows.indptr[last]
        of_row = np.repeat(np.arange(last - first), lengths[first:last])
        dense = np.zeros((last - first, rows.dim), rows.values.dtype)
        there = np.zeros(dense.shape, bool)
        dense[of_row, rows.columns[begin:end]] = rows.values[begin:end]
        there[of_row, rows.columns[begin:end]] = True
        # The lowest columns that a row lacks, as many as it is short of.
        free = np.argsort(there, axis=1, kind="stable")[:, :width]
        short, place = np.nonzero(np.arange(free.shape[1]) < (width - lengths[first:last])[:, None])
        there[short, free[short, place]] = True
        bits.append(np.packbits(there, axis=1, bitorder="little"))
        values.append(dense[there].reshape(-1, width))
    return np.concatenate(bits), np.concatenate(values)
