"""Finding in an old file the bytes of a new one: runs that are (nearly) the same, and what stands between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: A copy begins with at least this many equal bytes; shorter runs are cheaper as they are.
WINDOW = 16
#: A copy goes on over bytes that differ while at least half of the next ones are equal: row numbers and
#: offsets that all moved by one differ in one byte of four, and their differences compress to nothing.
LOOK_AHEAD = 64
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Step:
    """What comes next in the new file: some bytes as they are, then some that are near old ones.

    Attributes:
        literal: the place in the new file of the bytes as they are.
        source: where in the old file the bytes begin that the next ones are near to.
        length: how many these are.
    """

    literal: slice
    source: int
    length: int


def steps(old: Bytes, new: Bytes, anchors: Sequence[tuple[int, int]] = ()) -> Iterator[Step]:
    """Steps that make ``new`` from ``old``, greedily; the last one may copy nothing.

    Time is that of sorting the windows of ``old``, plus a little for each step.

    Args:
        old: the old file.
        new: the new file.
        anchors: places of new and old, increasing, that hold the same kind of thing: where nothing matches
            exactly, a copy is tried there.
    """
    match = _first_matches(old, new)
    matching = np.flatnonzero(match >= 0)
    places = [place for place, _ in anchors]
    at = done = diagonal = 0
    while True:
        next_match = int(np.searchsorted(matching, at))
        exact = int(matching[next_match]) if next_match < len(matching) else len(new)
        next_anchor = int(np.searchsorted(places, at))
        if next_anchor < len(places) and places[next_anchor] < exact:
            at, source = anchors[next_anchor]
            length = _near_run(old, new, source, at)
        elif exact == len(new):
            yield Step(slice(done, len(new)), 0, 0)
            return
        else:
            at = exact
            source = at + diagonal
            if _run(old, new, source, at) < WINDOW:
                source = int(match[at])
            length = _run(old, new, source, at)
            if length >= WINDOW:
                length += _near_run(old, new, source + length, at + length)
        if length < WINDOW:  # two windows with one hash, or an anchor that holds nothing
            at += 1
            continue
        yield Step(slice(done, at), source, length)
        diagonal = source - at
        at = done = at + length


def _first_matches(old: Bytes, new: Bytes) -> NDArray[np.int64]:
    """For each place of ``new`` a place of ``old`` with the same window hash, or -1."""
    if len(old) < WINDOW or len(new) < WINDOW:
        return np.empty(0, np.int64)
    old_hashes, new_hashes = _hashes(old), _hashes(new)
    order = np.argsort(old_hashes, kind="stable")
    ranked = old_hashes[order]
    at = np.minimum(np.searchsorted(ranked, new_hashes), len(ranked) - 1)
    return np.where(ranked[at] == new_hashes, order[at], -1)


def _hashes(data: Bytes) -> NDArray[np.uint64]:
    """A hash of each window of 16 bytes, uint64[len(data) - 15]."""
    n = len(data) - WINDOW + 1
    hashes = np.zeros(n, np.uint64)
    for i in range(WINDOW):
        hashes *= _FACTOR
        hashes += data[i : i + n]
    hashes ^= hashes >> np.uint64(29)
    return hashes


def _run(old: Bytes, new: Bytes, source: int, target: int) -> int:
    """How many bytes from ``source`` in old and ``target`` in new on are the same."""
    if not 0 <= source < len(old):
        return 0
    length, block = 0, 64
    limit = min(len(old) - source, len(new) - target)
    while length < limit:
        size = min(block, limit - length)
        a = old[source + length : source + length + size]
        b = new[target + length : target + length + size]
        different = np.flatnonzero(a != b)
        if len(different):
            return length + int(different[0])
        length += size
        block = min(2 * block, 1 << 20)
    return length


def _near_run(old: Bytes, new: Bytes, source: int, target: int) -> int:
    """How far half of the bytes of each stretch go on being the same."""
    if not 0 <= source < len(old):
        return 0
    length, block = 0, LOOK_AHEAD
    limit = min(len(old) - source, len(new) - target)
    while limit - length >= LOOK_AHEAD:
        stretches = min(block, limit - length) // LOOK_AHEAD
        size = stretches * LOOK_AHEAD
        same = old[source + length : source + length + size] == new[target + length : target + length + size]
        poor = np.flatnonzero(same.reshape(stretches, LOOK_AHEAD).sum(axis=1) < LOOK_AHEAD // 2)
        if len(poor):
            return length + int(poor[0]) * LOOK_AHEAD
        length += size
        block = min(2 * block, 1 << 20)
    return length
