"""Timing one call after another until there are enough, and what the samples say."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

#: Called with a phase and the nanoseconds of its newest samples.
Emit = Callable[[str, Sequence[int]], None]
MOST_SAMPLES = 1 << 20
_CHUNK = 2048


def ignore(phase: str, samples_ns: Sequence[int]) -> None:
    """An :data:`Emit` for samples that nobody records while they are taken."""


def steady(
    call: Callable[[int], object],
    *,
    repetitions: int,
    min_seconds: float,
    most: int = MOST_SAMPLES,
    phase: str = "",
    emit: Emit = ignore,
) -> list[int]:
    """Nanoseconds of each call, from at least ``repetitions`` calls and at least ``min_seconds``.

    The timed region is the call alone; garbage collection is off, so that it hits no sample by chance.
    Samples are handed to ``emit`` in chunks between two calls; the call after that is made once untimed.

    Args:
        call: what is timed; gets the number of the call.
        repetitions: least number of samples.
        min_seconds: least time over all, in seconds.
        most: stop at this many samples, whatever the time.
        phase: name for ``emit``.
        emit: gets the samples while they are taken.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    emitted = 0
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        end = clock() + int(min_seconds * 1e9)
        while len(samples) < repetitions or (clock() < end and len(samples) < most):
            start = clock()
            call(len(samples))
            samples.append(clock() - start)
            if emit is not ignore and len(samples) - emitted == _CHUNK:
                emit(phase, samples[emitted:])
                emitted = len(samples)
                call(len(samples))
    finally:
        if was_enabled:
            gc.enable()
    if emitted < len(samples):
        emit(phase, samples[emitted:])
    return samples


def throughput(call: Callable[[int], object], *, threads: int, seconds: float) -> float:
    """Calls a second of ``threads`` threads that call at once, over at least ``seconds``."""
    clock = time.perf_counter
    started = clock()

    def work(thread: int) -> int:
        count = 0
        while not count or clock() - started < seconds:
            call(thread + count * threads)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        count = sum(pool.map(work, range(threads)))
    return count / (clock() - started)


def clock_overhead_ns(n: int = 1000) -> float:
    """Median nanoseconds that the timed region measures around an empty call."""
    return float(np.median(steady(lambda _: None, repetitions=n, min_seconds=0.0)))


def summarise(samples_ns: Sequence[int]) -> dict[str, float | int]:
    """Percentiles, mean, standard deviation, least and most of samples, in microseconds; and their number."""
    us = np.asarray(samples_ns, np.float64) / 1000
    p50, p90, p99 = np.percentile(us, (50, 90, 99))
    return {
        "p50_us": float(p50),
        "p90_us": float(p90),
        "p99_us": float(p99),
        "mean_us": float(us.mean()),
        "std_us": float(us.std()),
        "min_us": float(us.min()),
        "max_us": float(us.max()),
        "n": len(us),
    }
