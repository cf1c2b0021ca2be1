"""The progress of training on a terminal: loss, validation metric, active entries, time left."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar over the steps; silent where ``enabled`` is False or standard error is no terminal."""

    def __init__(self, total_steps: int, done: int, *, enabled: bool) -> None:
        self._bar: Progress | None = None
        if enabled and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]}  {task.fields[metric]}"),
                TextColumn("{task.fields[active]} active"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(
                "train", total=total_steps, completed=done, epoch="0", loss="-", metric="", active="-"
            )

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self) -> None:
        """One step is done."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def show(self, *, epoch: str, loss: float, metric: str, active: int) -> None:
        """New figures beside the bar."""
        if self._bar is not None:
            self._bar.update(self._task, epoch=epoch, loss=f"{loss:.3f}", metric=metric, active=f"{active:,}")
