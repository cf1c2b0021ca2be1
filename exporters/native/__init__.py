"""C code that the custom operators of several runtimes share."""

from __future__ import annotations

from pathlib import Path

ROWS_HEADER = Path(__file__).parent / "csrc" / "sd_rows.h"
