"""Tables that keep a dense shadow while only some of its entries take part in scores."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.dense import DenseTable

ROWS_PER_BLOCK = 4096


class ShadowTable(DenseTable, ABC):
    """Dense weights w; scores are made of the pruned rows v(w), scaled to length 1.

    Costs a dense table's memory for the whole time, whatever the sparsity: methods that are built on it need
    gradients or values of entries that are pruned. The optimiser steps on w, whose rows have length 1 too.
    """

    @abstractmethod
    def pruned(self, rows: Tensor) -> Tensor:
        """The pruned rows v, not scaled, float32[r, dim]."""

    @abstractmethod
    def shape(self, rows: Tensor) -> Tensor:
        """Which entries of the rows are active, bool[r, dim]."""

    @abstractmethod
    def pull_back(self, active: Active, gradient: Tensor, lr: float) -> Tensor:
        """From the gradient at the scaled pruned rows to that of the shadow, both float32[r, dim].

        What is learnt beside the shadow takes its step here.
        """

    def raw(self, rows: Tensor) -> Tensor:
        """Rows of the shadow, float32[r, dim]."""
        return self.values.view(self.n_rows, self.dim)[rows]

    def expand(self, active: Active) -> Tensor:
        """The pruned rows, scaled to length 1, as a block float32[n_rows asked for, dim]."""
        return torch.nn.functional.normalize(self.pruned(active.rows))

    def to_csr(self) -> scipy.sparse.csr_array:
        """The pruned rows, scaled to length 1, csr_array float32 (n_rows x dim); active zeros are stored."""
        data, columns, lengths = [], [], []
        for rows in torch.split(torch.arange(self.n_rows, device=self.device), ROWS_PER_BLOCK):
            shape = self.shape(rows)
            data.append(torch.nn.functional.normalize(self.pruned(rows))[shape].cpu().numpy())
            columns.append(torch.nonzero(shape)[:, 1].to(torch.int32).cpu().numpy())
            lengths.append(shape.sum(1).cpu().numpy())
        start = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int32)
        return scipy.sparse.csr_array(
            (np.concatenate(data), np.concatenate(columns), start), shape=(self.n_rows, self.dim)
        )

    @property
    def nnz(self) -> int:
        """Number of active entries."""
        rows = torch.arange(self.n_rows, device=self.device)
        return sum(int(self.shape(block).sum()) for block in torch.split(rows, ROWS_PER_BLOCK))


def unit_pull_back(pruned: Tensor, gradient: Tensor) -> Tensor:
    """Gradient at v from the gradient at v / ‖v‖, float32[r, dim]; zero for a row of zeros."""
    norm = pruned.norm(dim=1, keepdim=True)
    unit = pruned / norm.clamp(min=1e-12)
    tangent = gradient - (gradient * unit).sum(1, keepdim=True) * unit
    return torch.where(norm > 1e-6, tangent / norm.clamp(min=1e-6), 0.0)


def largest_in_rows(score: Tensor, lengths: Tensor) -> Tensor:
    """Mark each row r's ``lengths[r]`` (int64) largest scores, bool[n, dim]."""
    longest = int(lengths.max())
    columns = torch.topk(score, longest, dim=1).indices
    kept = torch.arange(longest, device=score.device) < lengths[:, None]
    return torch.zeros(score.shape, dtype=torch.bool, device=score.device).scatter_(1, columns, kept)


def largest_in_table(score: Tensor, keep: int) -> Tensor:
    """Mark the ``keep`` largest finite scores of a table, one in each row at least, bool[n, dim]."""
    marked = torch.zeros(score.shape, dtype=torch.bool, device=score.device)
    marked.scatter_(1, score.argmax(dim=1, keepdim=True), True)
    rest = score.masked_fill(marked, -torch.inf).view(-1)
    marked.view(-1)[torch.topk(rest, min(max(0, keep - score.shape[0]), rest.numel())).indices] = True
    return marked
