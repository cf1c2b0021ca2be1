"""Exporting a run to a bundle for one target, and opening bundles."""

from __future__ import annotations

from .bundle import Bundle, open_bundle
from .clicks import evaluate_click_bundle, export_clicks, open_clicks
from .evaluate import evaluate_bundle
from .export import export
from .targets import TARGETS, Target, find_target

__all__ = [
    "TARGETS",
    "Bundle",
    "Target",
    "evaluate_bundle",
    "evaluate_click_bundle",
    "export",
    "export_clicks",
    "find_target",
    "open_bundle",
    "open_clicks",
]
