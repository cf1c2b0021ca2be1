"""The web target: an ES module over the C core as WebAssembly, and a page that shows it."""

from .readme import render
from .write import write, write_assets

__all__ = ["render", "write", "write_assets"]
