"""Readers of interaction logs and click logs, filters, splits, and a synthetic world."""

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import ClickSplit
from sparsedevice.data.interactions import Interactions
from sparsedevice.data.load import load_split, read_interactions
from sparsedevice.data.load_clicks import load_clicks
from sparsedevice.data.options import DataOptions
from sparsedevice.data.splits import Split
from sparsedevice.data.synthetic import SyntheticOptions, checkerboard, make_synthetic

__all__ = [
    "ClickOptions",
    "ClickSplit",
    "DataOptions",
    "Interactions",
    "Split",
    "SyntheticOptions",
    "checkerboard",
    "load_clicks",
    "load_split",
    "make_synthetic",
    "read_interactions",
]
