"""Measuring a bundle: load time, first query, latency percentiles, bytes and memory."""

from __future__ import annotations

from sparsedevice.bench.measure import bench
from sparsedevice.bench.render import render_markdown

__all__ = ["bench", "render_markdown"]
