"""One self-contained HTML page from runs, bundles, benchmarks and sweeps."""

from __future__ import annotations

from sparsedevice.report.page import report

__all__ = ["report"]
