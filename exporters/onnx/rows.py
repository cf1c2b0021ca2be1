"""Rows of a packed table as ONNX operators: chosen ones looked up, and their weighted sum.

The graph reads the sections as the file has them (docs/format.md): CSR, or slices of 64 rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import BASE_COLUMNS, MAX_BYTE_DIM, SLICE_ROWS, Kind

from .builder import DOUBLE, INT32, INT64, Builder


class Entries(NamedTuple):
    """Entries of h rows, padded with column 0 and value 0: names of int64 and float64 [h, longest]."""

    columns: str
    values: str


class ItemTable(Protocol):
    """What looks item rows up."""

    def gather(self, b: Builder, rows: str) -> Entries:
        """The entries of rows, int64[h]; of those outside the table none."""


@dataclass(frozen=True)
class Table:
    """One table of the file, its sections being tensors ``<name>_pointers``, ``_columns``, ``_values``.

    Attributes:
        name: item or user.
        sliced: whether its rows lie in slices.
        nibbles: whether values are int4, two in a byte.
        dim: columns.
        n_rows: rows.
        longest: entries of its longest row (sliced: of its longest slice), at least 1.
    """

    name: str
    sliced: bool
    nibbles: bool
    dim: int
    n_rows: int
    longest: int

    @classmethod
    def of(cls, packed: PackedFile, name: str) -> Table:
        """The items or the users of a file."""
        sliced = name == "item" and packed.layout == "sliced"
        kind = Kind[f"{name.upper()}_POINTERS"]
        pointers = packed.slice_pointers if sliced else packed.section(kind, "<u4")
        longest = max(int(np.diff(pointers.astype(np.int64)).max()), 1)
        n_rows = packed.n_items if name == "item" else packed.n_users
        return cls(name, sliced, packed.values == "int4", packed.dim, n_rows, longest)

    def gather(self, b: Builder, rows: str) -> Entries:
        """The entries of rows, int64[h]; of those outside the table, n_rows for one, none."""
        inside = b.op("Less", rows, b.ints(self.n_rows))
        at = b.op("Min", rows, b.ints(self.n_rows - 1))
        offsets, there = (self._in_slices if self.sliced else self._in_csr)(b, at)
        there = b.op("And", there, b.op("Unsqueeze", inside, b.ints(1)))
        offsets = b.op("Where", there, offsets, b.ints(0))
        columns = b.cast(b.op("Gather", f"{self.name}_columns", offsets), INT64)
        if self.sliced and self.dim > MAX_BYTE_DIM:
            columns = b.op("Add", columns, self._bases(b, at, there))
        columns = b.op("Where", there, columns, b.ints(0))
        values = b.cast(self._values(b, at, offsets, there), DOUBLE)
        return Entries(columns, b.op("Where", there, values, b.constant(0.0, np.float64)))

    def _values(self, b: Builder, rows: str, offsets: str, there: str) -> str:
        """The stored values [h, longest] at some entries of rows that exist; any where they are not there."""
        stored = f"{self.name}_values"
        if not self.nibbles:
            return b.op("Gather", stored, offsets)
        half, first, local = b.ints(1), b.ints(0), offsets
        if self.sliced:
            # Units of 128 entries, of 64 where a slice ends in a block of one entry a row.
            first, steps = self._slice_bounds(b, rows)
            local = b.op("Sub", offsets, first)
            even = b.op("Sub", steps, b.op("Mod", steps, b.ints(2)))
            large = b.op("Less", local, b.op("Mul", even, b.ints(SLICE_ROWS)))
            half = b.op("Where", large, b.ints(SLICE_ROWS), b.ints(SLICE_ROWS // 2))
        unit = b.op("Mul", half, b.ints(2))
        before = b.op("Div", local, unit)
        within = b.op("Sub", local, b.op("Mul", before, unit))
        high = b.op("GreaterOrEqual", within, half)
        place = b.op("Add", b.op("Mul", before, half), b.op("Mod", within, half))
        place = b.op("Add", place, b.op("Div", first, b.ints(2)))
        place = b.op("Where", there, place, b.ints(0))
        whole = b.op("BitwiseXor", b.op("Gather", stored, place), b.constant(0x88, np.uint8))
        nibble = b.op(
            "Where",
            high,
            b.op("BitShift", whole, b.constant(4, np.uint8), direction="RIGHT"),
            b.op("BitwiseAnd", whole, b.constant(15, np.uint8)),
        )
        return b.op("Sub", b.cast(nibble, INT32), b.constant(8, np.int32))

    def _in_csr(self, b: Builder, rows: str) -> tuple[str, str]:
        start, end = self._pointers(b, rows)
        offsets = b.op("Add", start, b.constant(np.arange(self.longest), np.int64))
        return offsets, b.op("Less", offsets, end)

    def _in_slices(self, b: Builder, rows: str) -> tuple[str, str]:
        """Where the entries of rows lie (``packing.sliced.entry_offsets``), and whether they are there."""
        first, steps = self._slice_bounds(b, rows)
        lane = b.op("Unsqueeze", b.op("Mod", rows, b.ints(SLICE_ROWS)), b.ints(1))
        place = np.arange(self.longest)
        places = b.constant(place, np.int64)
        quads = b.op("Mul", b.op("Div", steps, b.ints(4)), b.ints(4))
        paired = b.op("Mul", b.op("Div", steps, b.ints(2)), b.ints(2))
        in_quad = b.op(
            "Add",
            b.op("Mul", lane, b.ints(4)),
            b.constant(SLICE_ROWS * (place // 4 * 4) + place % 4, np.int64),
        )
        in_pair = b.op(
            "Add",
            places,
            b.op("Add", b.op("Mul", quads, b.ints(SLICE_ROWS - 1)), b.op("Mul", lane, b.ints(2))),
        )
        in_single = b.op("Add", b.op("Mul", paired, b.ints(SLICE_ROWS)), lane)
        later = b.op("Where", b.op("Less", places, paired), in_pair, in_single)
        offsets = b.op("Where", b.op("Less", places, quads), in_quad, later)
        return b.op("Add", first, offsets), b.op("Less", places, steps)

    def _bases(self, b: Builder, rows: str, there: str) -> str:
        """What the columns of the entries of rows count from, int64[h, longest]."""
        first, _ = self._slice_bounds(b, rows)
        steps = b.op(
            "Add", b.op("Div", first, b.ints(SLICE_ROWS)), b.constant(np.arange(self.longest), np.int64)
        )
        bases = b.op("Gather", f"{self.name}_bases", b.op("Where", there, steps, b.ints(0)))
        return b.op("Mul", b.cast(bases, INT64), b.ints(BASE_COLUMNS))

    def _slice_bounds(self, b: Builder, rows: str) -> tuple[str, str]:
        """First entry of the slices of rows, and their steps, both int64[h, 1]."""
        start, end = self._pointers(b, b.op("Div", rows, b.ints(SLICE_ROWS)))
        return b.op("Mul", start, b.ints(SLICE_ROWS)), b.op("Sub", end, start)

    def _pointers(self, b: Builder, at: str) -> tuple[str, str]:
        """Two neighbours of the pointers, int64[h, 1] each."""
        pointers = f"{self.name}_pointers"
        first = b.op("Unsqueeze", at, b.ints(1))
        return (
            b.cast(b.op("Gather", pointers, first), INT64),
            b.cast(b.op("Gather", pointers, b.op("Add", first, b.ints(1))), INT64),
        )


def weighted_sum(b: Builder, dim: int, entries: Entries, weight: str) -> str:
    """float64[dim]: sum of weight, float64[h], times row, in the order of rows and of columns."""
    products = b.op("Mul", b.op("Unsqueeze", weight, b.ints(1)), entries.values)
    zeros = b.constant(np.zeros(dim), np.float64)
    columns = b.op("Reshape", entries.columns, b.ints(-1))
    return b.op(
        "ScatterElements", zeros, columns, b.op("Reshape", products, b.ints(-1)), axis=0, reduction="add"
    )


def products_with(b: Builder, entries: Entries, query: str) -> str:
    """float64[h]: the product of each row with a query, float64[dim]."""
    products = b.op("Mul", entries.values, b.op("Gather", query, entries.columns))
    return b.op("ReduceSum", products, b.ints(1), keepdims=0)
