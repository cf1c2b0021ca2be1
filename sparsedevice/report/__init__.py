"""One self-contained HTML page from runs, bundles, benchmarks and sweeps; or the same in a terminal."""

from __future__ import annotations

from sparsedevice.report.page import check_report, report
from sparsedevice.report.text import print_report

__all__ = ["check_report", "print_report", "report"]
