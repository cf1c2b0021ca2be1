"""The C tool ``sd-bench`` and the QEMU plugin, built from source when they are first needed."""

from __future__ import annotations

from sparsedevice.bench.native.build import build_tool, compile_once

__all__ = ["build_tool", "compile_once"]
