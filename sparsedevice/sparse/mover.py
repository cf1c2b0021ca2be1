"""What moves one table's shape during training: watches gradients, swaps entries, anneals the fan-in."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sparsedevice.sparse.accumulator import GradientAccumulator
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.move import move_global, move_rows
from sparsedevice.sparse.presets import Method
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.table import SparseTable


class Mover(Protocol):
    """What changes a table while it is trained."""

    @property
    def table(self) -> SparseTable | DenseTable:
        """The table; a mover may put another in its place at the end of a period."""
        ...

    def start_step(self, rows: Tensor, *, last: bool, progress: float) -> bool:
        """Say whether ``observe`` wants this step's gradients; ``last`` is the last step of a period."""
        ...

    def observe(self, rows: Tensor, gradient: Tensor) -> None:
        """Take note of the dense gradient float32[r, dim] of distinct ``rows``."""
        ...

    def end_period(self, period: int, progress: float) -> Tensor | None:
        """Change the table; return the rows whose entries changed (int64), None where nothing did."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned, before ``table`` restores what it had."""
        ...

    def nbytes(self) -> int:
        """Bytes beside the table's."""
        ...


class ShapeMover:
    """Training is cut into periods of equally many steps; the shape moves at the end of each.

    Attributes:
        table: the table whose shape moves.
        explore: weight of inactive entries' gradient in steps that project rows; 0 where steps keep the
            shape.
        blocks: equal ranges of columns that each row keeps the same number of entries in.
    """

    def __init__(
        self,
        table: SparseTable,
        method: Method,
        schedule: Schedule,
        *,
        lengths: Tensor,
        widen: float,
        global_budget: bool,
        seed: int,
    ) -> None:
        """Watch the first period's rows.

        Args:
            table: the table whose shape moves.
            method: the parts that choose what moves.
            schedule: how much moves when.
            lengths: final number of entries of each row, int64[n_rows].
            widen: how many times more entries the table holds now.
            global_budget: entries may wander between rows.
            seed: of the watched rows and of random growth.
        """
        self.table = table
        self.explore = method.explore
        self.blocks = method.blocks
        self._method = method
        self._schedule = schedule
        self._lengths = lengths
        self._widen = widen
        self._global = global_budget
        self._seed = seed
        watches = method.rho0 > 0 and method.grow in ("accumulated", "last-batch")
        self._watch: GradientAccumulator | None = None
        if watches:
            self._watch = GradientAccumulator(
                table.n_rows, table.dim, method.watched_share, seed, table.device
            )
            if method.grow == "accumulated":
                self._watch.watch(0)

    def start_step(self, rows: Tensor, *, last: bool, progress: float) -> bool:
        """Say whether ``observe`` wants this step's gradients; ``last`` is the last step of a period."""
        if self._watch is None or self._schedule.moved_share(progress) == 0:
            return False
        if self._method.grow == "last-batch":
            if last:
                self._watch.watch_rows(rows)
            return last
        return True

    def observe(self, rows: Tensor, gradient: Tensor) -> None:
        """Take note of the dense gradient float32[r, dim] of distinct ``rows``."""
        if self._watch is not None:
            self._watch.add(rows, gradient)

    def end_period(self, period: int, progress: float) -> Tensor | None:
        """Move the shape; return the rows whose entries changed (int64), None where nothing did."""
        changed = self._swap(period, self._schedule.moved_share(progress))
        if self._widen > 1:
            ratio = self._schedule.widening(self._widen, progress)
            wanted = (self._lengths * ratio).round().long().clamp_(min=1)
            if bool((wanted < self.table.row_lengths).any()):
                self.table.shrink(wanted)
                changed = torch.arange(self.table.n_rows, device=self.table.device)
        if self._watch is not None and self._method.grow == "accumulated":
            self._watch.watch(period + 1)
        return changed

    def _swap(self, period: int, share: float) -> Tensor | None:
        if share <= 0 or self._method.grow == "none":
            return None
        table, regret = self.table, self._method.regret
        if self._method.grow == "random":
            rows = torch.arange(table.n_rows, device=table.device)
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + period)

            def random_scores(start: int, stop: int) -> Tensor:
                return torch.rand(stop - start, table.dim, generator=generator).to(table.device)

            return (
                rows
                if move_rows(table, rows, random_scores, share, regret=regret, blocks=self.blocks)
                else None
            )
        assert self._watch is not None
        rows, sums = self._watch.rows, self._watch.sums
        if self._global:
            # A popular row's sum is larger only because more steps went into it: rows compete by their
            # typical gradient.
            scale = table.updates[rows].float().clamp_(min=1).rsqrt_()
            moved = move_global(table, rows, sums[: rows.numel()] * scale[:, None], share, regret=regret)
        else:
            moved = move_rows(
                table, rows, lambda start, stop: sums[start:stop], share, regret=regret, blocks=self.blocks
            )
        return rows if moved else None

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        return {} if self._watch is None else self._watch.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        if self._watch is not None:
            self._watch.load_state(state)

    def nbytes(self) -> int:
        """Bytes of the watched gradients and their bookkeeping."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())
