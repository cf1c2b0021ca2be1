"""The record of a measurement while it runs: JSON lines of raw samples."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from sparsedevice.errors import SparseDeviceError, TargetError


class RawLog:
    """Writes events to ``FILE.part`` as they come; on success the file takes its name, or goes.

    Attributes:
        path: the file to write; None for one in the current folder (or the temporary one, where that cannot
            be written) that only a failure leaves behind.
        part: where events are until the measurement is complete.
        counts: samples so far by phase.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        folder = Path() if os.access(".", os.W_OK) else Path(tempfile.gettempdir())
        target = path or folder / f"sparsedevice-bench.{os.getpid()}.jsonl"
        self.part = target.with_name(target.name + ".part")
        self.counts: dict[str, int] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> RawLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        self._file.close()
        if kind is None and self.path is not None:
            self.part.replace(self.path)
        elif kind is None or not self.counts:
            self.part.unlink(missing_ok=True)

    def event(self, event: dict[str, Any]) -> None:
        """Add one line, on disk at once."""
        if self._file is None:
            try:
                self._file = self.part.open("w", encoding="utf-8")
            except OSError as error:
                raise SparseDeviceError(f"cannot write {self.part}: {error.strerror}; give --raw") from error
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def samples(self, phase: str, samples_ns: Sequence[int]) -> None:
        """Add samples; an :data:`sparsedevice.bench.timing.Emit`."""
        self.counts[phase] = self.counts.get(phase, 0) + len(samples_ns)
        self.event({"event": "samples", "phase": phase, "ns": list(samples_ns)})


def collect(lines: Iterable[str], log: RawLog, who: str, *, keep: bool = False) -> dict[str, Any]:
    """Follow a harness until its result.

    Args:
        lines: what it prints: JSON lines; what is no JSON object is left out.
        log: gets the samples.
        who: the machine, for errors.
        keep: put the samples of ``end_to_end`` into the result, as ``samples_ns``.

    Raises:
        TargetError: if the harness says so, or the lines end before the result.
    """
    reason = ""
    kept_ns: list[int] = []
    try:
        for line in lines:
            event = _parse(line)
            if event is None:
                continue
            kind = event.pop("event", None)
            if kind == "samples":
                log.samples(event["phase"], event["ns"])
                if keep and event["phase"] == "end_to_end":
                    kept_ns += event["ns"]
            elif kind == "error":
                raise TargetError(event["message"])
            elif kind == "result":
                return {**event, "samples_ns": kept_ns} if keep else event
    except TargetError as error:
        if not log.counts:
            raise
        reason = f" ({error})"
    count = sum(log.counts.values())
    kept = f"; the {count} raw samples so far are in {log.part}" if count else ""
    raise TargetError(
        f"{who} was lost before the measurement was complete{reason}{kept}; nothing else is left"
    )


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
