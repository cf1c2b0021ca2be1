"""Comparing a benchmark with an earlier one, so that a slower build can be refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsedevice.errors import ConfigError, DataError, SparseDeviceError

#: What makes two cells the same cell.
_IDENTITY = ("target", "export", "backend", "harness", "kernel", "k", "page_cache", "threads", "cpus")


@dataclass(frozen=True)
class Change:
    """One cell then and now.

    Attributes:
        cell: what the cell is, for people.
        before: then: the median in microseconds, or for an emulated machine the instructions of a query.
        now: the same now.
        unit: of both.
        slower: whether it is slower than allowed.
    """

    cell: str
    before: float
    now: float
    unit: str
    slower: bool

    @property
    def ratio(self) -> float:
        """Now over then."""
        return self.now / self.before


def compare(results: Sequence[Mapping[str, Any]], baseline: Path, allowed: float = 0.0) -> list[Change]:
    """Each result beside the same cell of a baseline; cells that only one side has are left out.

    Args:
        results: what was measured now.
        baseline: a file that ``bench --output json`` or ``jsonl`` wrote.
        allowed: growth that is no failure, 0.05 for 5 %.

    Raises:
        DataError: if the file is no benchmark or shares no cell.
    """
    before = {_identity(result): result for result in read_results(baseline)}
    changes = []
    for result in results:
        then = before.get(_identity(result))
        if then is not None:
            old, (new, unit) = _cost(then)[0], _cost(result)
            changes.append(Change(_text(result), old, new, unit, new / old > 1 + allowed))
    if not changes:
        raise DataError(f"{baseline} has no cell of this benchmark; measure it again with the same settings")
    return changes


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in a file of ``bench --output json`` (one or a list) or ``jsonl``.

    Raises:
        SparseDeviceError: if it cannot be read.
        DataError: if it holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SparseDeviceError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{path} is neither JSON nor JSON lines: {error}") from error
    results = found if isinstance(found, list) else [found]
    for result in results:
        if not isinstance(result, dict) or "p50_us" not in result or "backend" not in result:
            raise DataError(
                f"{path} holds no benchmark; write one with: sparsedevice bench BUNDLE --output json"
            )
    return results


def parse_share(text: str) -> float:
    """``5%`` or ``0.05`` as 0.05.

    Raises:
        ConfigError: if it is neither.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise ConfigError(f"{text!r} is not a share such as 5% or 0.05")
    return share


def _cost(result: Mapping[str, Any]) -> tuple[float, str]:
    """What a cell is compared by: times, or instructions where there can be no time."""
    if "counts" in result:
        return result["counts"]["instructions"], "instructions"
    return result["p50_us"], "µs"


def _identity(result: Mapping[str, Any]) -> tuple[Any, ...]:
    trace = result.get("trace", {})
    return (
        *(result.get(name) for name in _IDENTITY),
        (result.get("batch") or {}).get("size"),
        trace.get("sha256"),
    )


def _text(result: Mapping[str, Any]) -> str:
    named = (result.get(name) for name in ("target", "backend", "kernel"))
    return " ".join(str(part) for part in named if part) + f", top {result['k']}"
