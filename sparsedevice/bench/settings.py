"""What one measurement is asked to do, and the product of several."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from sparsedevice.errors import ConfigError

Harness = Literal["auto", "python", "native"]
Cache = Literal["warm", "dropped"]
HARNESSES: tuple[Harness, ...] = get_args(Harness)
CACHES: tuple[Cache, ...] = get_args(Cache)


@dataclass(frozen=True)
class BenchSettings:
    """One cell of a benchmark.

    Attributes:
        backend: ``core`` and ``numpy`` for any bundle, or the target's own, which None stands for.
        harness: who asks the queries: this package (``python``), or the C tool (``native``, core only);
            ``auto`` takes ``python`` on this machine and elsewhere ``native`` where the backend is core.
        k: length of a ranking.
        batch: queries in one timed region of the batch phase.
        threads: threads of the throughput phase; every other phase has one.
        trace: ``zipf``, ``uniform``, ``seen`` (the seen lists that the bundle ships), or a file with one
            JSON list of item ids a line.
        cache: page cache at loading: ``warm``, or ``dropped`` by asking the kernel to forget the files.
        kernel: kernel of the core; None for the fastest.
        cpus: ``big``, ``little`` or a list such as ``0-3,6`` to pin to; None for no pinning.
        repetitions: least number of timed queries.
        min_seconds: least time that the timed queries take together.
        warmup: queries between the first and the timed ones.
        seed: of the trace.
        samples: keep every sample in the result.
    """

    backend: str | None = None
    harness: Harness = "auto"
    k: int = 20
    batch: int = 1
    threads: int = 1
    trace: str = "zipf"
    cache: Cache = "warm"
    kernel: str | None = None
    cpus: str | None = None
    repetitions: int = 200
    min_seconds: float = 1.0
    warmup: int = 20
    seed: int = 0
    samples: bool = False

    def __post_init__(self) -> None:
        least = {"k": 1, "batch": 1, "threads": 1, "repetitions": 1, "warmup": 0, "seed": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                raise ConfigError(f"{name} {value!r} is not a whole number of at least {minimum}")
        seconds = self.min_seconds
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 <= seconds < 1e6:
            raise ConfigError(f"min_seconds {seconds!r} is not a number of seconds, 0 or more")
        for name, value, choices in (("harness", self.harness, HARNESSES), ("cache", self.cache, CACHES)):
            if value not in choices:
                raise ConfigError(f"{name} {value!r} is unknown; use one of {', '.join(choices)}")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        return asdict(self)


def settings_product(lists: Mapping[str, Sequence[Any]]) -> list[BenchSettings]:
    """One :class:`BenchSettings` for each combination, the last name varying fastest.

    Args:
        lists: for each setting its values.

    Raises:
        ConfigError: if a value is outside its range or a list is empty.
    """
    known = {field.name for field in fields(BenchSettings)}
    for name, values in lists.items():
        if name not in known:
            raise ConfigError(f"setting {name!r} is unknown; use one of {', '.join(sorted(known))}")
        if not values:
            raise ConfigError(f"setting {name} has no value")
    return [
        BenchSettings(**dict(zip(lists, cell, strict=True))) for cell in itertools.product(*lists.values())
    ]
