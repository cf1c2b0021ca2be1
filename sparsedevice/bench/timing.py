"""Timing one call after another until there are enough, and what the samples say."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import numpy as np


def steady(call: Callable[[int], object], *, repetitions: int, min_seconds: float) -> list[int]:
    """Nanoseconds of each call, from at least ``repetitions`` calls and at least ``min_seconds``.

    The timed region is the call alone; garbage collection is off, so that it hits no sample by chance.

    Args:
        call: what is timed; gets the number of the call.
        repetitions: least number of samples.
        min_seconds: least time over all, in seconds.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        end = clock() + int(min_seconds * 1e9)
        while len(samples) < repetitions or clock() < end:
            start = clock()
            call(len(samples))
            samples.append(clock() - start)
    finally:
        if was_enabled:
            gc.enable()
    return samples


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
