"""Measuring a bundle: load time, first query, latency percentiles, bytes and memory."""

from __future__ import annotations

from sparsedevice.bench.baseline import compare, parse_share, read_results
from sparsedevice.bench.harness import bench, bench_many
from sparsedevice.bench.render import render, render_markdown
from sparsedevice.bench.settings import BenchSettings, settings_product

__all__ = [
    "BenchSettings",
    "bench",
    "bench_many",
    "compare",
    "parse_share",
    "read_results",
    "render",
    "render_markdown",
    "settings_product",
]
