"""A table without sparsity, with the same operations: sparsity 0, and user rows that never leave training."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.table import GradientHook


class DenseTable:
    """All ``n_rows x dim`` entries active: 8 bytes each, for value and first moment; no columns are stored.

    Attributes:
        n_rows: number of rows.
        dim: number of columns.
        values: float32[n_rows * dim], by row.
        first: first moments, float32[n_rows * dim].
        second: second moment of each row's gradient norm, float32[n_rows].
        updates: how often each row was updated, int32[n_rows].
        power: above 1, the optimiser steps on θ with w = θ|θ|^(power - 1).
    """

    power = 1.0

    def __init__(self, values: Tensor) -> None:
        self.n_rows, self.dim = values.shape
        self.values = values.reshape(-1).contiguous()
        self.first = torch.zeros_like(self.values)
        self.second = torch.zeros(self.n_rows, dtype=torch.float32, device=values.device)
        self.updates = torch.zeros(self.n_rows, dtype=torch.int32, device=values.device)
        self.gradient_hook: GradientHook | None = None

    def to_csr(self) -> scipy.sparse.csr_array:
        """The table with every entry stored, scipy.sparse.csr_array float32 (n_rows x dim)."""
        return scipy.sparse.csr_array(
            (
                self.values.cpu().numpy().copy(),
                np.tile(np.arange(self.dim, dtype=np.int32), self.n_rows),
                np.arange(0, self.nnz + 1, self.dim, dtype=np.int32),
            ),
            shape=(self.n_rows, self.dim),
        )

    @property
    def nnz(self) -> int:
        """Number of active entries: all."""
        return self.values.numel()

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the table by name."""
        return {"values": self.values, "first": self.first, "second": self.second, "updates": self.updates}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Replace every tensor by one of ``state()``'s names, moved to this table's device."""
        device = self.device
        for name in self.state():
            setattr(self, name, state[name].to(device))
        # Columns may have gone since the table was made.
        self.dim = self.values.numel() // max(1, self.n_rows)

    def keep_columns(self, position: Tensor) -> None:
        """Keep the columns at ``position`` (int64[m]); the others are gone, with their moments."""
        self._set(*(tensor.view(self.n_rows, -1)[:, position] for tensor in (self.values, self.first)))

    def spread_columns(self, position: Tensor, fresh: Tensor) -> None:
        """Put the columns at ``position`` (int64[m]) of ``fresh`` float32[n_rows, size], which is changed.

        The moments of the columns that were fresh are 0.
        """
        first = torch.zeros_like(fresh)
        for new, old in ((fresh, self.values), (first, self.first)):
            new[:, position] = old.view(self.n_rows, -1)
        self._set(fresh, first)

    def _set(self, values: Tensor, first: Tensor) -> None:
        self.dim = values.shape[1]
        self.values, self.first = values.reshape(-1).contiguous(), first.reshape(-1).contiguous()

    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())

    def active(self, rows: Tensor) -> Active:
        """All entries of ``rows`` (int64[r])."""
        return Active(rows, self.dim, None, None, self.dim)

    def expand(self, active: Active) -> Tensor:
        """The rows as a block float32[n_rows asked for, dim]."""
        return active.take(self.values).view(-1, self.dim)
