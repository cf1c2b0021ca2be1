"""Writing the web bundle: the compiled core, the module, and the page."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from sparsedevice.files import sha256_file
from sparsedevice.packing import PackedFile, compact

from ..targets import PACKED_NAME
from .compile import compile_modules

ASSETS = Path(__file__).parent / "assets"
#: The module, its types and its description for package managers: what an app takes.
MODULE_FILES = (
    "sparsedevice.js",
    "sparsedevice-errors.js",
    "sparsedevice-loading.js",
    "sparsedevice-search.js",
    "sparsedevice-delta.js",
    "sparsedevice-delta-body.js",
    "sparsedevice-packed.js",
    "sparsedevice-strings.js",
    "sparsedevice-sealed.js",
    "sparsedevice-content.js",
    "sparsedevice-compact.js",
    "sparsedevice-compact-body.js",
    "sparsedevice-prefix-codes.js",
    "sparsedevice-blocks.js",
    "sparsedevice-columns.js",
    "sparsedevice.d.ts",
    "sparsedevice-delta.d.ts",
    "sparsedevice-compact.d.ts",
    "package.json",
)
#: The page; the service worker keeps all of it, and the module, for use without a network.
PAGE_FILES = ("index.html", "app.js", "keep.js", "style.css", "icon.svg", "app.webmanifest")
WORKER = "service-worker.js"
#: What a page that has kept a model asks, to see whether there is another one.
MODEL_FACTS = "model.json"
#: The model in the compact coding, which the page downloads where it is smaller.
COMPACT_NAME = "model.sdz"
_VERSION_MARK = "VERSION_OF_THE_BUNDLE"


def write_assets(folder: Path) -> list[str]:
    """Write what does not depend on a model into ``folder``, and return the names.

    Raises:
        MissingExtraError: if this machine has no compiler for WebAssembly.
        SparseDeviceError: if the compiler fails.
    """
    names = compile_modules(folder)
    for name in (*MODULE_FILES, *PAGE_FILES):
        shutil.copyfile(ASSETS / name, folder / name)
        names.append(name)
    return names


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the web bundle's files beside ``model.sd`` into ``folder``, and return their names.

    The model is there a second time in the compact coding, for the network; the page keeps it expanded.

    The service worker carries a hash of all files but the model, so a browser that has an older page sees a
    changed worker, and fetches the new one. The model has a hash of its own, and may be updated by delta.

    Raises:
        MissingExtraError: if this machine has no compiler for WebAssembly.
        SparseDeviceError: if the compiler fails.
    """
    names = write_assets(folder)
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name} {sha256_file(folder / name)}\n".encode())
    worker = (ASSETS / WORKER).read_text(encoding="utf-8").replace(_VERSION_MARK, digest.hexdigest()[:16])
    (folder / WORKER).write_text(worker, encoding="utf-8")
    facts: dict[str, Any] = {"sha256": sha256_file(folder / PACKED_NAME), "bytes": len(packed.data)}
    made = compact(folder / PACKED_NAME, folder / COMPACT_NAME)
    if made["kind"] == "compact":
        facts |= {"compact": COMPACT_NAME, "compact_bytes": made["bytes"]}
        names.append(COMPACT_NAME)
    else:
        (folder / COMPACT_NAME).unlink()
    (folder / MODEL_FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return [*names, WORKER, MODEL_FACTS]
