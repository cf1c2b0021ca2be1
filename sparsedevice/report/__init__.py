"""One self-contained HTML page from runs, bundles, benchmarks and sweeps; or the same in a terminal."""

from __future__ import annotations

from sparsedevice.report.page import report
from sparsedevice.report.text import print_report

__all__ = ["print_report", "report"]
