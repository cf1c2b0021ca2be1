"""Delta updates: what changed between two packed files, bound to both by sha256. See docs/delta.md."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsedevice.errors import PackedFileError
from sparsedevice.files import atomic_file
from sparsedevice.packing.compact import MAGIC as COMPACT_MAGIC
from sparsedevice.packing.compact import OTHER_WRITER, compact_bytes, unwrap
from sparsedevice.packing.content import build_file, read_content
from sparsedevice.packing.delta_body import read_body, write_body
from sparsedevice.packing.format import MAGIC as PACKED_MAGIC
from sparsedevice.packing.reader import PackedFile
from sparsedevice.packing.streams import checksum, deflate, inflate, read_whole

MAGIC = b"\x93SDD\r\n\x1a\n"
VERSION = 1
# magic, version, CRC-32, sizes of result and of body, sha256 of base and of result
_HEADER = struct.Struct("<8s2I2Q32s32s")


@dataclass(frozen=True)
class DeltaHeader:
    """What a delta says before its body.

    Attributes:
        base_sha256: of the file it applies to.
        result_sha256: of the file it gives.
        result_bytes: size of that file.
        body_bytes: size of the body before deflate.
    """

    base_sha256: bytes
    result_sha256: bytes
    result_bytes: int
    body_bytes: int


def diff(base: str | Path, new: str | Path, out: str | Path) -> dict[str, Any]:
    """Write what turns the packed file ``base`` into the packed file ``new``.

    A delta is never larger than ``new``: where it would be larger than ``new`` in the compact coding, or
    than ``new`` itself, ``out`` is that; :func:`patch` takes it as well.

    Returns:
        kind ("delta", "compact" or "full"), reason, bytes, new_bytes, and counts of rows for items and users.

    Raises:
        PackedFileError: if one of the two is damaged.
        SparseDeviceError: if a file cannot be read or written.
    """
    old_file, new_file = PackedFile.open(base), PackedFile.open(new)
    result = new_file.data.tobytes()
    coded, why = compact_bytes(new_file)
    kind, smallest = ("full", result) if coded is None else ("compact", coded)
    body, counts = write_body(read_content(old_file), read_content(new_file))
    delta = _join(_sha256(old_file.data.tobytes()), result, body)
    reason = f"a delta would have {len(delta)} bytes"
    if coded is None and why == OTHER_WRITER:
        reason = why
    elif len(delta) < len(smallest):
        kind, smallest, reason = "delta", delta, ""
    with atomic_file(out) as file:
        file.write(smallest)
    return {"kind": kind, "reason": reason, "bytes": len(smallest), "new_bytes": len(result), **counts}


def patch(base: str | Path, delta: str | Path, out: str | Path) -> dict[str, Any]:
    """Write the file that ``delta`` makes of ``base``; ``out`` may be ``base`` itself.

    The file is checked against its sha256 before it takes its place, so it is the right one or none.

    Returns:
        kind ("delta", "compact" or "full"), bytes, sha256 (hex).

    Raises:
        PackedFileError: if the delta is damaged, or belongs to another base: promise ``base``.
        SparseDeviceError: if a file cannot be read or written.
    """
    stored = read_whole(delta)
    if stored[:8] in (PACKED_MAGIC, COMPACT_MAGIC):
        kind, result = unwrap(stored)
    else:
        kind, result = "delta", apply_delta(read_whole(base), stored)
    with atomic_file(out) as file:
        file.write(result)
    return {"kind": kind, "bytes": len(result), "sha256": _sha256(result).hex()}


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """The bytes that ``delta`` makes of ``base``.

    Raises:
        PackedFileError: if the delta is damaged or belongs to another base.
    """
    header, stream = split_delta(delta)
    if _sha256(base) != header.base_sha256:
        raise PackedFileError(
            "base",
            f"the delta is for the file with sha256 {header.base_sha256.hex()[:16]}…, not"
            f" {_sha256(base).hex()[:16]}…; fetch the delta for this file, or the full file",
        )
    body = inflate(stream, header.body_bytes)
    content = read_body(read_content(PackedFile(base)), body, header.result_bytes)
    result = build_file(content)
    if _sha256(result) != header.result_sha256:
        raise PackedFileError("result", "the delta does not give the file that it promises; fetch it again")
    return result


def split_delta(delta: bytes) -> tuple[DeltaHeader, memoryview]:
    """Header and compressed body of a delta.

    Raises:
        PackedFileError: if this is no delta, or one that is cut short or damaged.
    """
    if delta[:8] != MAGIC[: len(delta)]:
        raise PackedFileError("magic", "this is not a sparsedevice delta")
    if len(delta) < _HEADER.size:
        raise PackedFileError("truncated", f"the delta ends after {len(delta)} bytes, inside its header")
    _, version, seal, result_bytes, body_bytes, base, result = _HEADER.unpack_from(delta)
    if version != VERSION:
        raise PackedFileError("version", f"delta version {version} is not known (known: {VERSION}); update")
    if checksum(delta) != seal:
        raise PackedFileError("checksum", "the delta is damaged or cut short; fetch it again")
    header = DeltaHeader(base, result, result_bytes, body_bytes)
    return header, memoryview(delta)[_HEADER.size :]


def _join(base_sha256: bytes, result: bytes, body: bytes) -> bytes:
    fields = (len(result), len(body), base_sha256, _sha256(result))
    stream = deflate(body)
    seal = checksum(_HEADER.pack(MAGIC, VERSION, 0, *fields) + stream)
    return _HEADER.pack(MAGIC, VERSION, seal, *fields) + stream


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
