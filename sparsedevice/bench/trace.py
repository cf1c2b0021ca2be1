"""The queries that a benchmark asks: the same for every backend and machine, by seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError, DataError
from sparsedevice.packing import PackedFile

SHORTEST, LONGEST, N_QUERIES = 5, 50, 256
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """Drawn histories over the rows of a catalogue.

    Items are drawn by Zipf's law with exponent 1 over a random order of the catalogue, or uniformly; lengths
    uniformly from 5 to 50 (fewer where the catalogue is smaller); an item occurs once in a history.

    Attributes:
        n_items: rows of the catalogue.
        n_queries: how many histories.
        seed: same seed, same histories.
        kind: how items are drawn.
    """

    n_items: int
    n_queries: int = N_QUERIES
    seed: int = 0
    kind: Literal["zipf", "uniform"] = "zipf"

    def histories(self) -> list[Rows]:
        """The histories, int64 rows each, in the order in which they are asked."""
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(self.n_items)
        ranks = np.arange(1, self.n_items + 1)
        steps = np.cumsum(1.0 / ranks if self.kind == "zipf" else np.ones(self.n_items))
        longest = min(LONGEST, self.n_items)
        lengths = rng.integers(min(SHORTEST, longest), longest + 1, self.n_queries)
        drawn = []
        for length in lengths:
            chosen: list[int] = []
            while len(chosen) < length:
                at = np.searchsorted(steps, rng.random(2 * length) * steps[-1], side="right")
                chosen = list(dict.fromkeys([*chosen, *at.tolist()]))[:length]
            drawn.append(order[chosen])
        return drawn


@dataclass(frozen=True, eq=False)
class Queries:
    """The histories of one benchmark.

    Attributes:
        histories: int64 rows each, in the order in which they are asked.
        about: where they come from, JSON-ready.
    """

    histories: Sequence[Rows]
    about: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write one history a line: rows, separated by spaces."""
        path.write_text(self._text(), encoding="ascii")

    @classmethod
    def read(cls, path: Path, about: dict[str, Any]) -> Queries:
        """What :meth:`write` wrote."""
        lines = path.read_text(encoding="ascii").splitlines()
        return cls([np.array(line.split(), np.int64) for line in lines], about)

    def to_json(self) -> dict[str, Any]:
        """Where the histories come from, how many, how long, and the hash of their rows."""
        lengths = [len(history) for history in self.histories]
        digest = hashlib.sha256(self._text().encode()).hexdigest()
        return {
            **self.about,
            "n_queries": len(lengths),
            "lengths": [min(lengths), max(lengths)],
            "sha256": digest,
        }

    def _text(self) -> str:
        return "".join(" ".join(map(str, history.tolist())) + "\n" for history in self.histories)


def find_queries(spec: str, packed: PackedFile, seed: int) -> Queries:
    """The histories that a trace's name stands for.

    Args:
        spec: ``zipf``, ``uniform``, ``seen``, or a file with one JSON list of item ids a line.
        packed: the catalogue.
        seed: of the draw.

    Raises:
        ConfigError: if the bundle ships no seen lists, or the name is neither known nor a file.
        DataError: naming the line of the file that is wrong.
    """
    about: dict[str, Any] = {"kind": spec, "n_items": packed.n_items, "seed": seed}
    if spec in ("zipf", "uniform"):
        trace = Trace(packed.n_items, seed=seed, kind=spec)  # type: ignore[arg-type]
        return Queries(trace.histories(), {**about, "kind": f"{spec} histories"})
    if spec == "seen":
        return Queries(_seen(packed, seed), {**about, "kind": "seen lists of shipped users"})
    if not Path(spec).is_file():
        raise ConfigError(
            f"trace {spec!r} is unknown; use zipf, uniform, seen, or a file of JSON lists of ids"
        )
    return Queries(_from_file(Path(spec), packed), {**about, "kind": f"file {Path(spec).name}"})


def _seen(packed: PackedFile, seed: int) -> list[Rows]:
    seen = packed.seen
    if seen is None:
        raise ConfigError(
            "this bundle ships no seen lists; export it with --users, or use trace zipf, uniform or a file"
        )
    users = np.flatnonzero(np.diff(seen.indptr) > 0)
    chosen = np.random.default_rng(seed).permutation(users)[:N_QUERIES]
    return [seen.indices[seen.indptr[u] : seen.indptr[u + 1]].astype(np.int64) for u in chosen]


def _from_file(path: Path, packed: PackedFile) -> list[Rows]:
    histories = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            ids = json.loads(line)
        except ValueError:
            ids = None
        if not isinstance(ids, list) or not ids:
            raise DataError(f'{path}:{number} is not a JSON list of item ids; write for example ["a", "b"]')
        rows = packed.vocabulary.rows([str(id_) for id_ in ids])
        if (rows < 0).any():
            missing = ids[int(np.flatnonzero(rows < 0)[0])]
            raise DataError(f"{path}:{number} has the item {missing!r}, which the bundle does not know")
        histories.append(rows.astype(np.int64))
    if not histories:
        raise DataError(f"{path} holds no history; write one JSON list of item ids a line")
    return histories
