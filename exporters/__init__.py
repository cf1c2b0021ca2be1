"""Exporting a run to a bundle for one target, and opening bundles."""

from __future__ import annotations

from .bundle import Bundle, open_bundle
from .evaluate import evaluate_bundle
from .export import export
from .targets import TARGETS, Target, find_target

__all__ = ["TARGETS", "Bundle", "Target", "evaluate_bundle", "export", "find_target", "open_bundle"]
