"""The active entries of some rows of a table."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Active:
    """Some rows of a table and where their active entries are.

    Positions are made when they are first asked for, since the usual step reads and writes whole rows alone;
    they are of no use any more once the rows have other columns.

    Attributes:
        rows: the rows asked for, int64[r].
        dim: columns of the table.
        width: entries of each row where all rows of the table have the same number, else 0.
    """

    def __init__(
        self, rows: Tensor, dim: int, row_start: Tensor | None, columns: Tensor | None, width: int
    ) -> None:
        """Remember what the positions are made of.

        Args:
            rows: the rows asked for, int64[r].
            dim: columns of the table.
            row_start: where each row's entries begin and the last ends; None where ``width`` says so.
            columns: of each entry of the table; None where every entry is active.
            width: entries of each row, or 0.
        """
        self.rows = rows
        self.dim = dim
        self.width = width
        self._row_start = row_start
        self._columns = columns

    @cached_property
    def entry(self) -> Tensor:
        """Position of each entry in ``table.values``, int64[m]."""
        device = self.rows.device
        if self.width:
            return (self.rows[:, None] * self.width + torch.arange(self.width, device=device)).view(-1)
        start, length = self._starts_and_lengths()
        end = length.cumsum(0)
        return torch.arange(self.local.numel(), device=device) + (start - end + length)[self.local]

    @cached_property
    def local(self) -> Tensor:
        """Which of the asked rows each entry belongs to, int64[m], ascending."""
        place = torch.arange(self.rows.numel(), device=self.rows.device)
        if self.width:
            return place[:, None].expand(-1, self.width).reshape(-1)
        return torch.repeat_interleave(place, self._starts_and_lengths()[1])

    @cached_property
    def flat(self) -> Tensor:
        """Position of each entry in the dense block of the asked rows, ``local * dim + column``, int64[m]."""
        if self._columns is None:
            return torch.arange(self.rows.numel() * self.dim, device=self.rows.device)
        return self.local * self.dim + self.take(self._columns).long()

    def _starts_and_lengths(self) -> tuple[Tensor, Tensor]:
        assert self._row_start is not None
        start = self._row_start[self.rows]
        return start, self._row_start[self.rows + 1] - start

    def row_sum(self, values: Tensor) -> Tensor:
        """Sum of one number per entry over each asked row, float32[r]."""
        if self.width:
            return values.view(-1, self.width).sum(1)
        return torch.zeros(self.rows.numel(), device=values.device).index_add_(0, self.local, values)

    def per_entry(self, values: Tensor) -> Tensor:
        """One number per asked row, repeated for each of its entries, float32[m]."""
        if self.width:
            return values[:, None].expand(-1, self.width).reshape(-1)
        return values[self.local]

    def take(self, numbers: Tensor) -> Tensor:
        """What the entries have of one number for each entry of the table [nnz]: a copy, [m].

        Rows of the same length are copied as rows, in a third of the time.
        """
        if self.width:
            return numbers.view(-1, self.width).index_select(0, self.rows).view(-1)
        return numbers[self.entry]

    def put(self, numbers: Tensor, new: Tensor) -> None:
        """Write what ``take`` reads; ``new`` is [m]."""
        if self.width:
            numbers.view(-1, self.width).index_copy_(0, self.rows, new.view(-1, self.width))
        else:
            numbers[self.entry] = new

    def of_block(self, block: Tensor) -> Tensor:
        """What the entries have in a dense block of the asked rows, [r, dim]: a copy, [m]."""
        if self._columns is None:
            return block.reshape(-1).clone()
        if self.width:
            column = self.take(self._columns).long()
            return block.gather(1, column.view(-1, self.width)).view(-1)
        return block.reshape(-1)[self.flat]
