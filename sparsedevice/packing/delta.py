"""Delta updates: what changes from one packed file to another, bound to both by their sha256.

A delta file is: magic (8 bytes), version (4), reserved (4), sha256 of the base (32), sha256 of the result
(32), size of the result (8), bytes of the steps, the differences and the literals (4 each) before
compression, reserved (4), then these three behind one another, compressed with zlib. A step is three
variable-length numbers (seven bits a byte, lowest first): bytes to take from the literals; bytes to copy from
the base after them, each plus its difference; and how far the copy begins from where the last one ended
(zigzag). A delta holds no path and no code; it can only make the one file that it names.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparsedevice.errors import SparseDeviceError
from sparsedevice.files import atomic_file
from sparsedevice.packing.matching import Bytes, steps
from sparsedevice.packing.reader import PackedFile

MAGIC = b"\x93SDD\r\n\x1a\n"
VERSION = 1
_HEADER = struct.Struct("<8sII32s32sQIIII")


class DeltaError(SparseDeviceError):
    """A delta that is damaged, or is not for this file."""


@dataclass(frozen=True)
class DeltaInfo:
    """What a delta does.

    Attributes:
        delta_bytes: its size.
        result_bytes: the size of the file that it makes, which is what a full download would take.
        added: items of the result that the base does not have.
        removed: items of the base that the result does not have.
        changed: items of both whose rows differ.
    """

    delta_bytes: int
    result_bytes: int
    added: int
    removed: int
    changed: int


def diff(base: str | Path, new: str | Path, out: str | Path) -> DeltaInfo:
    """Write the delta that makes ``new`` from ``base``.

    Raises:
        PackedFileError: if one of the two files breaks a promise of the format.
        DeltaError: if the delta would be no smaller than ``new``: ship that file instead.
        SparseDeviceError: if a file cannot be read or written.
    """
    old_file, new_file = PackedFile.open(base), PackedFile.open(new)
    plan, differences, literals = bytearray(), bytearray(), bytearray()
    anchors = [
        (section.offset, old_file.sections[kind].offset)
        for kind, section in new_file.sections.items()
        if kind in old_file.sections
    ]
    old, new_bytes = old_file.data, new_file.data
    expected = 0
    for step in steps(old, new_bytes, anchors):
        at = step.literal.stop
        literals += new_bytes[step.literal].tobytes()
        differences += (
            new_bytes[at : at + step.length] - old[step.source : step.source + step.length]
        ).tobytes()
        plan += _varint(at - step.literal.start) + _varint(step.length)
        plan += _varint(_zigzag(step.source - expected))
        expected = step.source + step.length
    lengths = (len(new_bytes), len(plan), len(differences), len(literals), 0)
    head = _HEADER.pack(MAGIC, VERSION, 0, _sha256(old), _sha256(new_bytes), *lengths)
    delta = head + zlib.compress(plan + differences + literals, 9)
    if len(delta) >= len(new_file.data):
        sizes = f"{len(delta)} bytes, not fewer than the {len(new_bytes)} of {new}"
        raise DeltaError(f"a delta would take {sizes}; ship the file itself")
    with atomic_file(out) as file:
        file.write(delta)
    return DeltaInfo(len(delta), len(new_bytes), *_compare(old_file, new_file))


def patch(base: str | Path, delta: str | Path, out: str | Path) -> int:
    """Apply a delta: read ``base``, write the new file to ``out`` (which may be ``base``), all or nothing.

    Returns:
        The bytes written.

    Raises:
        DeltaError: if the delta is damaged or was made for another file.
        SparseDeviceError: if a file cannot be read or written.
    """
    old, raw = _read(base), _read(delta)
    result = apply_delta(old, raw, names=(str(base), str(delta)))
    with atomic_file(out) as file:
        file.write(result)
    return len(result)


def apply_delta(base: bytes, delta: bytes, *, names: tuple[str, str] = ("the file", "the delta")) -> bytes:
    """The result of a delta on the bytes of its base. Memory is bounded by the size that the delta names.

    Raises:
        DeltaError: if the delta is damaged or was made for another base.
    """
    base_name, name = names
    if len(delta) < _HEADER.size or delta[:8] != MAGIC:
        raise DeltaError(f"{name} is not a sparsedevice delta")
    _, version, reserved, base_sha, result_sha, size, *lengths, zero = _HEADER.unpack_from(delta)
    if version != VERSION or reserved or zero:
        raise DeltaError(f"{name} has delta version {version}, which is not known here; update sparsedevice")
    if hashlib.sha256(base).digest() != base_sha:
        raise DeltaError(f"{name} was made for another file than {base_name}; download the full file")
    if lengths[1] + lengths[2] != size:
        raise DeltaError(f"{name} is damaged: its parts do not make the result")
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(delta[_HEADER.size :], sum(lengths) + 1)
    except zlib.error as error:
        raise DeltaError(f"{name} is damaged: {error}") from error
    if len(body) != sum(lengths) or not unpacker.eof or unpacker.unused_data:
        raise DeltaError(f"{name} is damaged: its parts do not have the lengths that it names")
    plan, rest = body[: lengths[0]], np.frombuffer(body, np.uint8)[lengths[0] :]
    result = _follow(np.frombuffer(base, np.uint8), plan, rest[: lengths[1]], rest[lengths[1] :], name)
    if hashlib.sha256(result).digest() != result_sha:
        raise DeltaError(f"{name} is damaged: the result does not have the sha256 that it names")
    return result


def _follow(base: Bytes, plan: bytes, differences: Bytes, literals: Bytes, name: str) -> bytes:
    result = np.empty(len(differences) + len(literals), np.uint8)
    taken = copied = expected = 0
    numbers = _numbers(plan, name)
    for literal in numbers:
        length, offset = next(numbers, -1), next(numbers, -1)
        source = expected + (offset >> 1 ^ -(offset & 1))
        if (
            length < 0
            or offset < 0
            or not 0 <= source <= len(base) - length
            or taken + literal > len(literals)
            or copied + length > len(differences)
        ):
            raise DeltaError(f"{name} is damaged: a step leaves the file")
        at = taken + copied
        result[at : at + literal] = literals[taken : taken + literal]
        at += literal
        result[at : at + length] = base[source : source + length] + differences[copied : copied + length]
        taken, copied, expected = taken + literal, copied + length, source + length
    if taken + copied != len(result):
        raise DeltaError(f"{name} is damaged: its steps do not make the whole result")
    return result.tobytes()


def _numbers(plan: bytes, name: str) -> Iterator[int]:
    value = shift = 0
    for byte in plan:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value = shift = 0
        elif shift > 63:
            raise DeltaError(f"{name} is damaged: a number does not end")
    if shift:
        raise DeltaError(f"{name} is damaged: its steps end inside a number")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> int:
    return value * 2 if value >= 0 else -value * 2 - 1


def _sha256(data: Bytes) -> bytes:
    return hashlib.sha256(data.data).digest()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SparseDeviceError(f"cannot read {path}: {error.strerror}") from error


def _compare(old: PackedFile, new: PackedFile) -> tuple[int, int, int]:
    """Items added, removed, and in both with another row."""
    rows = old.vocabulary.rows(new.vocabulary.ids)
    kept = np.flatnonzero(rows >= 0)
    if old.dim != new.dim:
        changed = len(kept)
    else:
        difference = sp.csr_array(old.items[rows[kept]] != new.items[kept])
        changed = int((np.diff(difference.indptr) > 0).sum())
    return new.n_items - len(kept), old.n_items - len(kept), changed
