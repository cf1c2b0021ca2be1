"""Measuring the WebAssembly build where it runs: in a browser, and in Node."""

from __future__ import annotations

from sparsedevice.bench.web.cell import WEB_TARGETS, run_web_cell

__all__ = ["WEB_TARGETS", "run_web_cell"]
