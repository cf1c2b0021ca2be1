"""Readers of interaction logs, filters, splits, and a synthetic world."""

from sparsedevice.data.interactions import Interactions
from sparsedevice.data.load import load_split, read_interactions
from sparsedevice.data.options import DataOptions
from sparsedevice.data.splits import Split
from sparsedevice.data.synthetic import SyntheticOptions, checkerboard, make_synthetic

__all__ = [
    "DataOptions",
    "Interactions",
    "Split",
    "SyntheticOptions",
    "checkerboard",
    "load_split",
    "make_synthetic",
    "read_interactions",
]
