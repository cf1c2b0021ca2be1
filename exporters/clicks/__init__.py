"""Models of clicks: what their artefacts hold, how they are written, opened and measured."""

from __future__ import annotations

from .bundle import evaluate_click_bundle, export_clicks, open_clicks
from .scorer import ClickScorer
from .tables import ClickTables, click_tables

__all__ = [
    "ClickScorer",
    "ClickTables",
    "click_tables",
    "evaluate_click_bundle",
    "export_clicks",
    "open_clicks",
]
