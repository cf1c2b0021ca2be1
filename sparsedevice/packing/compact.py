"""The compact coding of a packed file, for download: small, and expanded once. See docs/compact.md."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

from sparsedevice.errors import PackedFileError
from sparsedevice.files import atomic_file
from sparsedevice.packing.compact_body import read_parts, write_parts
from sparsedevice.packing.content import Content, build_file, read_content
from sparsedevice.packing.format import MAGIC as PACKED_MAGIC
from sparsedevice.packing.reader import PackedFile
from sparsedevice.packing.streams import MAX_DEFLATE_RATIO, checksum, deflate, inflate, read_whole
from sparsedevice.packing.verify import verify_file

MAGIC = b"\x93SDZ\r\n\x1a\n"
VERSION = 1
# magic, version, CRC-32, sizes of packed file, body and zlib stream, sha256 of the packed file
_HEADER = struct.Struct("<8s2I3Q32s")

OTHER_WRITER = "the file was written by another writer, so that its rows do not give its bytes"


def compact(packed: str | Path, out: str | Path) -> dict[str, Any]:
    """Write a packed file in the compact coding; never larger than the file itself.

    Returns:
        kind ("compact", or "full" where the coding does not pay), reason, bytes, packed_bytes.

    Raises:
        PackedFileError: if the packed file is damaged.
        SparseDeviceError: if a file cannot be read or written.
    """
    file = PackedFile.open(packed)
    data = file.data.tobytes()
    coded, reason = compact_bytes(file)
    with atomic_file(out) as target:
        target.write(data if coded is None else coded)
    return {
        "kind": "full" if coded is None else "compact",
        "reason": reason,
        "bytes": len(coded or data),
        "packed_bytes": len(data),
    }


def compact_bytes(file: PackedFile) -> tuple[bytes | None, str]:
    """A verified packed file in the compact coding, or None and why the file itself is better."""
    data = file.data.tobytes()
    content = read_content(file)
    if build_file(content) != data:
        return None, OTHER_WRITER
    body, streams = write_parts(content)
    stream = deflate(body)
    fields = (len(data), len(body), len(stream), hashlib.sha256(data).digest())
    seal = checksum(_HEADER.pack(MAGIC, VERSION, 0, *fields) + stream + streams)
    coded = _HEADER.pack(MAGIC, VERSION, seal, *fields) + stream + streams
    if len(coded) >= len(data):
        return None, f"the compact coding would have {len(coded)} bytes, no fewer than the file"
    if len(data) > MAX_DEFLATE_RATIO * len(coded):
        return None, "the file would shrink more than readers of the compact coding believe"
    return coded, ""


def coded_bytes(content: Content) -> int:
    """What content weighs in the compact coding, its head included."""
    body, streams = write_parts(content)
    return _HEADER.size + len(deflate(body)) + len(streams)


def expand(coded: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the packed file that a compact file stands for, byte for byte; a packed file is copied.

    Returns:
        kind ("compact" or "full"), bytes, sha256 (hex).

    Raises:
        PackedFileError: if the compact file is damaged.
        SparseDeviceError: if a file cannot be read or written.
    """
    data = read_whole(coded)
    kind, packed = unwrap(data)
    with atomic_file(out) as file:
        file.write(packed)
    sha256 = _HEADER.unpack_from(data)[-1] if kind == "compact" else hashlib.sha256(packed).digest()
    return {"kind": kind, "bytes": len(packed), "sha256": sha256.hex()}


def unwrap(data: bytes) -> tuple[str, bytes]:
    """The packed file in either coding, and which of the two it was: "compact" or "full".

    Raises:
        PackedFileError: if the file is damaged.
    """
    if data[:8] != PACKED_MAGIC:
        return "compact", expand_bytes(data)
    verify_file(PackedFile(data))
    return "full", data


def expand_bytes(coded: bytes) -> bytes:
    """The packed file that a compact file stands for.

    Raises:
        PackedFileError: if the compact file is damaged, or claims to hold more than it can.
    """
    if coded[:8] != MAGIC[: len(coded)]:
        raise PackedFileError("magic", "this is not a sparsedevice compact file")
    if len(coded) < _HEADER.size:
        raise PackedFileError("truncated", f"the file ends after {len(coded)} bytes, inside its header")
    _, version, seal, packed_bytes, body_bytes, stream_bytes, sha256 = _HEADER.unpack_from(coded)
    if version != VERSION:
        raise PackedFileError("version", f"compact version {version} is not known (known: {VERSION}); update")
    if checksum(coded) != seal:
        raise PackedFileError("checksum", "the compact file is damaged or cut short; fetch it again")
    rest = memoryview(coded)[_HEADER.size :]
    if packed_bytes > MAX_DEFLATE_RATIO * len(coded) or stream_bytes > len(rest):
        raise PackedFileError("lengths", f"{len(coded)} bytes cannot stand for {packed_bytes}")
    body = inflate(rest[:stream_bytes], body_bytes)
    packed = build_file(read_parts(body, rest[stream_bytes:], packed_bytes))
    if hashlib.sha256(packed).digest() != sha256:
        raise PackedFileError(
            "result", "the compact file does not give the file that it promises; fetch it again"
        )
    return packed
