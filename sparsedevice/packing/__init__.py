"""The packed file: writer, reader, quantisation, deltas, compact coding."""

from __future__ import annotations

from sparsedevice.packing.compact import compact, expand
from sparsedevice.packing.delta import diff, patch
from sparsedevice.packing.fold_in import FoldIn, Ridge, Steps
from sparsedevice.packing.reader import PackedFile, inspect
from sparsedevice.packing.tower import Tower
from sparsedevice.packing.writer import PackedInfo, pack

__all__ = [
    "FoldIn",
    "PackedFile",
    "PackedInfo",
    "Ridge",
    "Steps",
    "Tower",
    "compact",
    "diff",
    "expand",
    "inspect",
    "pack",
    "patch",
]
