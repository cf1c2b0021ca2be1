"""Work that C does beside Python's lock, in as many parts as torch has threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def in_parts(n: int, part: Callable[[int, int], None]) -> None:
    """Run ``part(first, last)`` over ``n`` pieces of work, an equal share in each of torch's threads."""
    threads = min(torch.get_num_threads(), n)
    ends = [n * place // max(threads, 1) for place in range(threads + 1)]
    if threads <= 1:
        part(0, n)
        return
    # The calling thread takes the first part.
    others = [_pool(threads - 1).submit(part, *ends[place : place + 2]) for place in range(1, threads)]
    part(ends[0], ends[1])
    for other in others:
        other.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernels")
