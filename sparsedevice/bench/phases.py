"""The phases of one measurement of a recommender, in the order in which a device goes through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sparsedevice.bench.parts import split
from sparsedevice.bench.settings import BenchSettings
from sparsedevice.bench.timing import Emit, steady, summarise, throughput
from sparsedevice.runtime import Recommender

#: Items of the shortlist whose scores are asked for.
SHORTLIST = 100
_LEAST, _MOST = 50, 1 << 14

#: What no figure of the Python harness holds.
EXCLUDED = (
    "importing modules, hashing files and checking the file's promises (verify_ms), making the queries,"
    " garbage collection; the ids of a history are Python strings that exist already"
)


def run_phases(
    recommender: Recommender,
    backend: str,
    queries: Sequence[list[str]],
    ids: Sequence[str],
    settings: BenchSettings,
    emit: Emit,
) -> dict[str, Any]:
    """Steady state end to end, then its parts, a batch and the throughput.

    Args:
        recommender: what is measured; warm.
        backend: its name.
        queries: histories of item ids.
        ids: item ids to take a shortlist from, spread over the catalogue.
        settings: how often and how long.
        emit: gets the samples while they are taken.

    Returns:
        The summary of ``end_to_end`` flat; ``phases`` (``lookup``: the history's rows by id; ``shortlist``:
        scores of 100 items for the history; ``top_1``: as end to end, but one result; and those of
        :mod:`sparsedevice.bench.parts`, a null with its ``reason`` where a backend cannot be split);
        ``batch`` and ``queries_per_second``; ``samples_ns`` where asked for.
    """
    n = len(queries)

    def end_to_end(number: int) -> None:
        recommender.recommend(history=queries[number % n], k=settings.k)

    def batch(number: int) -> None:
        for i in range(settings.batch):
            end_to_end(number * settings.batch + i)

    shortlist = list(ids)
    own, reasons = split(recommender, backend, queries, settings.k)
    parts: dict[str, Callable[[int], object]] = {
        "lookup": lambda number: recommender.lookup(queries[number % n]),
        "shortlist": lambda number: recommender.score(history=queries[number % n], items=shortlist),
        "top_1": lambda number: recommender.recommend(history=queries[number % n], k=1),
        **own,
    }
    samples = steady(
        end_to_end,
        repetitions=settings.repetitions,
        min_seconds=settings.min_seconds,
        phase="end_to_end",
        emit=emit,
    )
    result: dict[str, Any] = {**summarise(samples), "phases": {}}
    least = min(settings.repetitions, _LEAST)
    for name, call in parts.items():
        part = steady(
            call, repetitions=least, min_seconds=settings.min_seconds / 4, most=_MOST, phase=name, emit=emit
        )
        result["phases"][name] = summarise(part)
    result["phases"] |= {name: {"p50_us": None, "reason": reason} for name, reason in reasons.items()}
    batches = steady(
        batch,
        repetitions=max(1, least // settings.batch),
        min_seconds=settings.min_seconds / 4,
        most=_MOST,
        phase="batch",
        emit=emit,
    )
    result["batch"] = {"size": settings.batch, **summarise(batches)}
    result["queries_per_second"] = throughput(
        end_to_end, threads=settings.threads, seconds=settings.min_seconds / 4
    )
    if settings.samples:
        result["samples_ns"] = samples
    return result
