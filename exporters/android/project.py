"""Copies the Gradle project into a bundle, with the core's sources and the model in its assets."""

from __future__ import annotations

import shutil
from pathlib import Path

import sparsedevice.runtime
from sparsedevice.bench.trace import Trace
from sparsedevice.errors import ConfigError
from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile, compact

MODEL_NAME = "model.sd"
#: The model in the compact coding, which an app's first opening expands.
COMPACT_NAME = "model.sdz"
#: The folder of the Gradle project in a bundle.
PROJECT = Path("android")
ASSETS = PROJECT / "app" / "src" / "main" / "assets"
CORE = PROJECT / "sparsedevice" / "src" / "main" / "cpp" / "core"
#: The queries of the app's benchmark: those of ``sparsedevice bench``, a history of rows on each line.
QUERIES_NAME = "queries.txt"
#: What building leaves in a project, and the model of a build in the repository.
_LEFTOVERS = {"build", ".gradle", ".cxx", ".idea", "assets", "__pycache__", "local.properties"}
#: Beginnings of the names of the core's sources for other places.
_ELSEWHERE = ("sd_python", "sd_wasm")


def project_folder() -> Path:
    """The Gradle project that bundles are copies of: installed with this package, or in the repository.

    Raises:
        ConfigError: if this installation has none.
    """
    for folder in (Path(__file__).parent / "project", Path(__file__).parents[2] / "android_demo"):
        if (folder / "settings.gradle").is_file():
            return folder
    raise ConfigError(
        "this installation of sparsedevice lacks the Android project; install it from a wheel or its"
        " repository, or use --target packed and copy the file into an app"
    )


def project_files(folder: Path) -> list[Path]:
    """Its files, relative to it, without what building leaves behind."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not _LEFTOVERS & set(path.parts))


def write(packed: PackedFile, folder: Path) -> list[str]:
    """Write the project into ``folder``, where ``model.sd`` lies, and return the names of its files.

    Raises:
        ConfigError: if this installation lacks the project.
    """
    names = _write_project(packed, folder)
    shutil.copyfile(folder / MODEL_NAME, folder / ASSETS / MODEL_NAME)
    return [*names, (ASSETS / MODEL_NAME).as_posix()]


def write_compact(packed: PackedFile, folder: Path) -> list[str]:
    """As ``write``, with the model in the compact coding; as it is where that would not be smaller."""
    names = _write_project(packed, folder)
    coded = folder / ASSETS / COMPACT_NAME
    if compact(folder / MODEL_NAME, coded)["kind"] != "compact":
        coded = coded.rename(coded.with_name(MODEL_NAME))
    return [*names, (ASSETS / coded.name).as_posix()]


def _write_project(packed: PackedFile, folder: Path) -> list[str]:
    """All of it but the model."""
    source = project_folder()
    core = Path(sparsedevice.runtime.__file__).parent / "csrc"
    copies = {PROJECT / path: source / path for path in project_files(source)}
    for path in sorted(core.iterdir()):
        if path.suffix in (".c", ".h", ".inc") and not path.name.startswith(_ELSEWHERE):
            copies[CORE / path.name] = path
    for name, path in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    queries = ASSETS / QUERIES_NAME
    with atomic_file(folder / queries) as file:
        for history in Trace(packed.n_items).histories():
            file.write((" ".join(map(str, history)) + "\n").encode())
    return [path.as_posix() for path in (*copies, queries)]
