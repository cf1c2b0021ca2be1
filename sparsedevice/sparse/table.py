"""A table that costs memory in proportion to its active entries, never to rows x columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from sparsedevice.errors import ConfigError
from sparsedevice.sparse.active import Active

# Sees, and may change, the dense gradient float32[r, dim] of rows before they are updated.
GradientHook = Callable[[Active, Tensor], None]


class SparseTable:
    """Rows of few active entries each, with the optimiser's moments of those entries alone.

    Entries are stored by row, and by column within a row. With ``m`` active entries a table takes
    ``m * (4 + 4 + c)`` bytes for value, first moment and column (``c`` is 1 up to 256 columns, else 2), and
    16 bytes a row for the row's start, its second moment and its count of updates. The second moment is one
    number a row (the mean square of the row's gradient norm): an entry that comes back finds a step of the
    right size at once.

    Attributes:
        n_rows: number of rows.
        dim: number of columns.
        row_start: int64[n_rows + 1]; row ``r`` owns the entries ``row_start[r]`` to ``row_start[r + 1]``.
        columns: uint8, int16 or int32 [nnz].
        values: float32[nnz].
        first: first moment of each entry, float32[nnz].
        second: second moment of each row's gradient norm, float32[n_rows].
        updates: how often each row was updated, int32[n_rows].
        power: above 1, the optimiser steps on θ with w = θ|θ|^(power - 1).
    """

    power = 1.0

    def __init__(self, n_rows: int, dim: int, row_start: Tensor, columns: Tensor, values: Tensor) -> None:
        self.n_rows = n_rows
        self.dim = dim
        self.row_start = row_start
        self.columns = columns
        self.values = values
        self.first = torch.zeros_like(values)
        self.second = torch.zeros(n_rows, dtype=torch.float32, device=values.device)
        self.updates = torch.zeros(n_rows, dtype=torch.int32, device=values.device)
        self.width = _common_length(row_start)
        self.gradient_hook: GradientHook | None = None

    @classmethod
    def from_csr(cls, matrix: scipy.sparse.csr_array, device: str | torch.device = "cpu") -> SparseTable:
        """Take over shape and values; every stored entry is active, a stored zero too.

        Raises:
            ConfigError: if the matrix is wider than 2**31 columns.
        """
        n_rows, dim = matrix.shape
        if dim >= 2**31:
            raise ConfigError(f"a table of {dim} columns is too wide; choose a smaller --dim")
        matrix = matrix.copy()
        matrix.sort_indices()
        return cls(
            n_rows,
            dim,
            torch.from_numpy(matrix.indptr.astype(np.int64)).to(device),
            torch.from_numpy(matrix.indices.astype(np.int32)).to(column_dtype(dim)).to(device),
            torch.from_numpy(matrix.data.astype(np.float32)).to(device),
        )

    def to_csr(self) -> scipy.sparse.csr_array:
        """The table in host memory, csr_array float32 (n_rows x dim), indices sorted in each row."""
        index = np.int32 if self.nnz < 2**31 else np.int64
        return scipy.sparse.csr_array(
            (
                self.values.cpu().numpy().copy(),
                self.columns.cpu().numpy().astype(index),
                self.row_start.cpu().numpy().astype(index),
            ),
            shape=(self.n_rows, self.dim),
        )

    @property
    def nnz(self) -> int:
        """Number of active entries."""
        return self.values.numel()

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    @property
    def row_lengths(self) -> Tensor:
        """Active entries of each row, int64[n_rows]."""
        return self.row_start[1:] - self.row_start[:-1]

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the table by name: what a checkpoint stores and what memory accounting counts."""
        return {
            "row_start": self.row_start,
            "columns": self.columns,
            "values": self.values,
            "first": self.first,
            "second": self.second,
            "updates": self.updates,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace every tensor by one of ``state()``'s names, moved to this table's device."""
        device = self.device
        for name in self.state():
            setattr(self, name, state[name].to(device))
        self.width = _common_length(self.row_start)

    def nbytes(self) -> int:
        """Bytes of all tensors: values, moments, columns and row bookkeeping."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())

    def active(self, rows: Tensor) -> Active:
        """The active entries of ``rows`` (int64[r]), in the order of ``rows``."""
        return Active(rows, self.dim, self.row_start, self.columns, self.width)

    def expand(self, active: Active) -> Tensor:
        """The rows as a dense block float32[n_rows asked for, dim]."""
        block = torch.zeros(active.rows.numel() * self.dim, dtype=torch.float32, device=self.device)
        block[active.flat] = active.take(self.values)
        return block.view(-1, self.dim)

    def restructure(self, keep: Tensor, row: Tensor, column: Tensor) -> None:
        """Drop entries and activate others, in time and memory proportional to the active entries.

        Args:
            keep: bool[nnz]; False drops the entry, with its moments.
            row: rows of the entries to activate, int64[g].
            column: their columns, int64[g]. No pair may be active already (or repeat); dropped ones may come
                back. Values and first moments start at zero, whatever the entry held when it was last active.
        """
        row_of = self.entry_rows()[keep]
        old_key = row_of * self.dim + self.columns[keep].long()
        order = torch.argsort(row * self.dim + column)
        row, column = row[order], column[order]
        new_key = row * self.dim + column
        place = torch.searchsorted(old_key, new_key) + torch.arange(new_key.numel(), device=self.device)
        total = old_key.numel() + new_key.numel()
        is_old = torch.ones(total, dtype=torch.bool, device=self.device)
        is_old[place] = False

        def merge(old: Tensor) -> Tensor:
            out = torch.zeros(total, dtype=old.dtype, device=self.device)
            out[is_old] = old[keep]
            return out

        self.columns = merge(self.columns)
        self.columns[place] = column.to(self.columns.dtype)
        self.values = merge(self.values)
        self.first = merge(self.first)
        lengths = torch.bincount(row_of, minlength=self.n_rows) + torch.bincount(row, minlength=self.n_rows)
        self.row_start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        self.width = _common_length(self.row_start)

    def entry_rows(self) -> Tensor:
        """The row of each entry, int64[nnz]."""
        return torch.repeat_interleave(torch.arange(self.n_rows, device=self.device), self.row_lengths)

    def shrink(self, lengths: Tensor) -> None:
        """Keep each row r's ``lengths[r]`` largest entries (int64[n_rows]); rows never grow."""
        row = self.entry_rows()
        order = torch.argsort(self.values.abs(), descending=True, stable=True)
        order = order[torch.argsort(row[order], stable=True)]
        rank = torch.empty_like(order)
        rank[order] = torch.arange(self.nnz, device=self.device) - self.row_start[:-1][row[order]]
        none = row.new_empty(0)
        self.restructure(rank < lengths[row], none, none)


def _common_length(row_start: Tensor) -> int:
    lengths = row_start[1:] - row_start[:-1]
    if lengths.numel() == 0:
        return 0
    return int(lengths[0]) if bool((lengths == lengths[0]).all()) else 0


def column_dtype(dim: int) -> torch.dtype:
    """The smallest integer type that holds a column of ``dim``."""
    if dim <= 256:
        return torch.uint8
    return torch.int16 if dim <= 2**15 else torch.int32
