"""Arrays behind one another in one run of bytes, as the delta and the compact coding store them.

An array of numbers is stored in planes: all lowest bytes, then all second bytes, and so on. Numbers that are
mostly small then leave long runs of zeros, which deflate shrinks a thousandfold.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import PackedFileError, SparseDeviceError

#: Deflate never shrinks more than this, so nothing that claims to is worth unpacking.
MAX_DEFLATE_RATIO = 1032


class Sink:
    """Collects arrays; :class:`Source` reads them back in the same order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, data: bytes | NDArray[Any]) -> None:
        """Bytes as they are."""
        self._parts.append(data.tobytes() if isinstance(data, np.ndarray) else data)

    def number(self, value: int) -> None:
        """One number, uint32."""
        self.raw(value.to_bytes(4, "little"))

    def planes(self, array: NDArray[Any], width: int) -> None:
        """Whole numbers of 0 … 256^width - 1, width 1, 2, 4 or 8, or negative ones as two's complement."""
        whole = array.astype(f"<u{width}")
        self.raw(whole.view(np.uint8).reshape(-1, width).T.tobytes())

    def bits(self, flags: NDArray[np.bool_]) -> None:
        """Flags, eight in a byte, the first in the lowest bit."""
        self.raw(np.packbits(flags, bitorder="little"))

    def data(self) -> bytes:
        """All that was stored."""
        return b"".join(self._parts)


class Source:
    """Reads what a :class:`Sink` stored. No array is made that the bytes at hand do not fill."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self._data) - self._at

    def raw(self, count: int, beyond: int = 0) -> memoryview:
        """The next ``count`` bytes, and ``beyond`` of those that follow, which are not yet read by that.

        Raises:
            PackedFileError: ``body`` if there are not so many.
        """
        if not 0 <= count <= self.left - beyond:
            raise PackedFileError("body", f"an array of {count} bytes stands where {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at + beyond]

    def number(self) -> int:
        """One number, uint32."""
        return int.from_bytes(self.raw(4), "little")

    def planes(self, count: int, width: int) -> NDArray[Any]:
        """``count`` whole numbers as unsigned integers of ``width`` bytes."""
        planes = np.frombuffer(self.raw(count * width), np.uint8).reshape(width, count)
        joined: NDArray[Any] = np.ascontiguousarray(planes.T).reshape(-1).view(f"<u{width}")
        return joined

    def bits(self, count: int) -> NDArray[np.bool_]:
        """``count`` flags."""
        packed = np.frombuffer(self.raw(-(-count // 8)), np.uint8)
        return np.unpackbits(packed, count=count, bitorder="little").astype(bool)

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            PackedFileError: ``body`` if bytes are left.
        """
        if self.left:
            raise PackedFileError("body", f"{self.left} bytes follow the last array")


def deflate(data: bytes) -> bytes:
    """``data`` as a zlib stream."""
    return zlib.compress(data, 9)


def inflate(stream: memoryview, length: int) -> bytes:
    """Unpack a zlib stream that must hold exactly ``length`` bytes.

    Raises:
        PackedFileError: ``body`` if it does not, or claims more than deflate can shrink to its size.
    """
    if length > MAX_DEFLATE_RATIO * len(stream):
        raise PackedFileError("body", f"{len(stream)} bytes cannot hold {length}")
    unpacker = zlib.decompressobj()
    try:
        # Room for one byte more, so that a stream that is too long shows.
        data = unpacker.decompress(stream, length + 1)
    except zlib.error as error:
        raise PackedFileError("body", f"the compressed part is damaged ({error})") from None
    if len(data) != length or not unpacker.eof or unpacker.unused_data:
        raise PackedFileError("body", f"the compressed part does not hold {length} bytes")
    return data


def checksum(file: bytes) -> int:
    """CRC-32 of a delta or a compact file, with the checksum's own four bytes, 12 to 16, as zero."""
    return zlib.crc32(memoryview(file)[16:], zlib.crc32(file[:12] + bytes(4)))


def read_whole(path: str | Path) -> bytes:
    """All bytes of a file.

    Raises:
        SparseDeviceError: if it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SparseDeviceError(f"cannot read {path}: {error.strerror}; give the path of a file") from error
