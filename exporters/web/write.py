"""Writing the web bundle: the compiled core, the module, and the page."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from sparsedevice.files import sha256_file
from sparsedevice.packing import PackedFile

from ..targets import PACKED_NAME
from .compile import compile_modules

ASSETS = Path(__file__).parent / "assets"
#: The module, its types and its description for package managers: what an app takes.
MODULE_FILES = ("sparsedevice.js", "sparsedevice.d.ts", "package.json")
#: The page; the service worker keeps all of it, and the module, for use without a network.
PAGE_FILES = ("index.html", "app.js", "style.css", "icon.svg", "app.webmanifest")
WORKER = "service-worker.js"
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

    The service worker carries a hash of the model and all other files, so a browser that has an older
    bundle sees a changed worker, and fetches all of the new one.

    Raises:
        MissingExtraError: if this machine has no compiler for WebAssembly.
        SparseDeviceError: if the compiler fails.
    """
    del packed  # it lies in the folder already
    names = write_assets(folder)
    digest = hashlib.sha256()
    for name in sorted((PACKED_NAME, *names)):
        digest.update(f"{name} {sha256_file(folder / name)}\n".encode())
    worker = (ASSETS / WORKER).read_text(encoding="utf-8").replace(_VERSION_MARK, digest.hexdigest()[:16])
    (folder / WORKER).write_text(worker, encoding="utf-8")
    return [*names, WORKER]
