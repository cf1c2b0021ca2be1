"""Sizes as people write them."""

from __future__ import annotations

import re

from sparsedevice.errors import ConfigError

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}


def parse_bytes(text: str | int) -> int:
    """Bytes of ``65536``, ``500KB`` or ``1.5MiB``; K, M and G are powers of 1000, Ki, Mi and Gi of 1024.

    Raises:
        ConfigError: if it is not a size of at least one byte.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = match.group(2).upper() if match else None
    if match is None or unit not in _UNITS or isinstance(text, bool):
        raise ConfigError(f"{text!r} is not a size; write for example 65536, 500KB, 1MB or 1MiB")
    size = int(float(match.group(1)) * _UNITS[unit])
    if size < 1:
        raise ConfigError(f"{text!r} is less than a byte; write for example 500KB")
    return size
