"""Arrays of numbers of so many bits each, behind one another, the lowest bit of the first byte first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of zeros that follow, so that a reader may read eight from any bit on.
SLACK = 8


def bit_bytes(bits: int) -> int:
    """Bytes that so many bits take in the file."""
    return (bits + 7) // 8 + SLACK


def pack_bits(numbers: NDArray[Any], widths: int | NDArray[np.int64]) -> bytes:
    """The bits of nonnegative numbers, each of the same width or of its own, at most 56."""
    from sparsedevice.runtime import _core

    values = np.ascontiguousarray(numbers, np.int64)
    each = np.ascontiguousarray(np.broadcast_to(np.asarray(widths, np.int64), values.shape))
    packed: bytes = _core.pack_bits(values, each)
    return packed


def unpack_bits(
    data: NDArray[np.uint8], at: NDArray[np.int64], width: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """The numbers of ``width`` bits, at most 40, that begin at the bits ``at``."""
    first = at >> 3
    found = np.zeros(len(at), np.int64)
    for byte in range(6):
        found |= data[first + byte].astype(np.int64) << 8 * byte
    numbers: NDArray[np.int64] = found >> (at & 7) & (np.int64(1) << np.asarray(width, np.int64)) - 1
    return numbers


def bits_at(data: NDArray[np.uint8], at: int, width: int) -> int:
    """One such number, of any width up to 56."""
    return int.from_bytes(data[at >> 3 : (at >> 3) + 8].tobytes(), "little") >> (at & 7) & (1 << width) - 1
