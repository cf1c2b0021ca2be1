"""The bundle: a folder with the packed file, a target's artefact, a manifest and a README."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsedevice import __version__
from sparsedevice.errors import BundleError, ConfigError, SparseDeviceError
from sparsedevice.files import read_json, sha256_file, write_json
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import Recommender, load

from .targets import FILE_BACKENDS, PACKED_NAME, TARGETS, Target, backends

if TYPE_CHECKING:
    from sparsedevice.training.click_config import ClickConfig
    from sparsedevice.training.config import TrainConfig

FORMAT = 1
MANIFEST_NAME = "manifest.json"
README_NAME = "README.md"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are as its manifest says.

    Attributes:
        path: the folder.
        manifest: what ``manifest.json`` holds.
    """

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Bundle:
        """Read a bundle's manifest and check every file against it.

        Args:
            path: the folder.
            verify: also hash the files; without it only their sizes are checked.

        Raises:
            BundleError: saying which file is missing, changed or unknown to the manifest's format.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        for name, entry in manifest["files"].items():
            _check_file(path, name, entry, verify=verify)
        return cls(path, manifest)

    @property
    def target(self) -> Target:
        """The target's row of the table."""
        return _target_of(self.path, self.manifest)

    @property
    def scores_clicks(self) -> bool:
        """Whether it holds a model of clicks, and so ranks nothing."""
        return bool(self.manifest.get("kind") == "clicks")

    @property
    def file_bytes(self) -> dict[str, int]:
        """Bytes of each file by its name, the manifest left out."""
        return {name: int(entry["bytes"]) for name, entry in self.manifest["files"].items()}

    def artefacts(self, backend: str) -> list[str]:
        """The files that one backend runs."""
        wanted = (PACKED_NAME,) if backend in FILE_BACKENDS else self.target.artefacts
        if self.scores_clicks and self.target.clicks is not None:
            wanted = self.target.clicks.artefacts
        return [name for name in self.manifest["files"] if name in wanted]

    def artefact_bytes(self, backend: str) -> int:
        """Bytes of the files that one backend runs."""
        return sum(self.file_bytes[name] for name in self.artefacts(backend))

    def packages(self, backend: str) -> list[str]:
        """The packages that one backend runs on."""
        modules = () if backend in FILE_BACKENDS else self.target.modules
        return ["numpy", *modules]

    def check_ranks(self) -> None:
        """Refuse a bundle that holds a model of clicks.

        Raises:
            ConfigError: saying what can be done with it.
        """
        if self.scores_clicks:
            raise ConfigError(
                f"{self.path} holds a model of clicks, which ranks nothing; measure it with: sparsedevice"
                f" evaluate {self.path}, or open it with sparsedevice.exporters.open_clicks"
            )

    def prepare(self, backend: str) -> None:
        """Import and compile what a backend needs, without opening anything.

        Raises:
            ConfigError: if the bundle has nothing for this backend.
            MissingExtraError: if the backend's package is not installed.
        """
        check_backend(backend)
        self.check_ranks()
        if self.manifest["config"]["model"] == "neumf" and backend not in (self.target.backend, "numpy"):
            raise ConfigError(
                f"{self.path} holds model 'neumf', whose network the C core does not run; use backend"
                f" {self.target.backend} or numpy"
            )
        if backend in FILE_BACKENDS:
            import_module(FILE_BACKENDS[backend])
            return
        if backend not in self.target.backends:
            raise ConfigError(
                f"{self.path} is a bundle for target {self.target.name!r} and has nothing for backend"
                f" {backend!r}; use {' or '.join(dict.fromkeys((*self.target.backends, *FILE_BACKENDS)))},"
                " or export the run for a target of that backend"
            )
        self.target.check_extra()
        self.target.build(self.path, backend)

    def open(self, backend: str | None = None, *, verify: bool = True) -> Recommender:
        """Open the artefact with its own runtime, or the packed file with another backend.

        Args:
            backend: None for the target's own; ``core`` and ``numpy`` open the packed file of any bundle.
            verify: check every promise of the packed file.

        Raises:
            ConfigError: if the bundle has nothing for this backend.
            MissingExtraError: if the backend's package is not installed.
        """
        backend = backend or self.target.backend
        self.prepare(backend)
        if backend in FILE_BACKENDS:
            return load(self.path / PACKED_NAME, backend, verify=verify)  # type: ignore[arg-type]
        packed = PackedFile.open(self.path / PACKED_NAME, verify=verify)
        return self.target.open(packed, self.path, backend)

    def summary(self) -> dict[str, Any]:
        """What a person wants to know first, flat."""
        sizes, accuracy = self.manifest["sizes"], self.manifest["accuracy"]
        if self.scores_clicks:
            return self._click_summary()
        out: dict[str, Any] = {
            "target": self.target.name,
            "items": sizes["n_items"],
            "users shipped": sizes["n_users"],
            "dim": sizes["dim"],
            "active entries per item": sizes["nnz"] / sizes["n_items"],
            "values": sizes["values"],
            "layout": sizes["layout"],
        }
        if "layout_reason" in sizes:
            out["why this layout"] = sizes["layout_reason"]
        out |= self._summed_bytes()
        for users in ("shipped", "folded"):
            measured = accuracy.get(users)
            if measured:
                for name in (f"recall@{accuracy['k']}", f"ndcg@{accuracy['k']}"):
                    out[f"{name}, users {users}"] = measured[name]
        for users, agreement in accuracy["agreement"].items():
            out[f"same items as the trained model, users {users}"] = agreement["overlap"]
        return out

    def _click_summary(self) -> dict[str, Any]:
        accuracy = self.manifest["accuracy"]
        out: dict[str, Any] = {"target": self.target.name, **self.manifest["sizes"], **self._summed_bytes()}
        for name, measured in (("artefact", "artefact"), ("trained model", "trained_model")):
            if accuracy[measured]:
                out |= {f"{metric}, {name}": accuracy[measured][metric] for metric in ("auc", "log_loss")}
        return out

    def _summed_bytes(self) -> dict[str, int]:
        """Bytes of each file or folder of the bundle."""
        out: dict[str, int] = {}
        for name, size in self.file_bytes.items():
            part = f"bytes of {name.split('/')[0]}"
            out[part] = out.get(part, 0) + size
        return out


def open_bundle(path: str | Path, backend: str | None = None) -> Recommender:
    """Open a bundle, or a packed file, for recommending.

    Every file of a bundle is checked against its manifest first.

    Args:
        path: the folder, or a packed file.
        backend: None for the bundle's own; see :meth:`Bundle.open`.

    Raises:
        BundleError: if a file is missing, truncated, swapped or edited.
        ConfigError: if the bundle has nothing for this backend.
        PackedFileError: if a packed file breaks a promise.
    """
    path = Path(path)
    check_backend(backend)
    if path.is_file():
        if backend not in (None, *FILE_BACKENDS):
            raise ConfigError(
                f"{path} is a packed file, which backend {backend!r} does not read;"
                f" use one of {', '.join(FILE_BACKENDS)}"
            )
        return load(path, backend or "core")  # type: ignore[arg-type]
    return Bundle.load(path).open(backend)


def check_backend(backend: str | None) -> None:
    """Refuse a backend that does not exist; None stands for a bundle's own.

    Raises:
        ConfigError: listing the backends that there are.
    """
    if backend is not None and backend not in backends():
        raise ConfigError(f"backend {backend!r} is unknown; use one of {', '.join(backends())}")


def check_out(out: Path) -> None:
    """Refuse to replace a folder that is no bundle.

    Raises:
        SparseDeviceError: if it holds files.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST_NAME).is_file():
        raise SparseDeviceError(f"{out} holds files and is not a bundle; choose another --out")


def describe(row: Target, config: TrainConfig | ClickConfig, data: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says of every bundle: what wrote it, for which target, and of which run."""
    packages = ["numpy", "scipy", *(module.split(".")[0] for module in row.modules)]
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    return {
        "sparsedevice": __version__,
        "target": row.name,
        "backend": row.backend,
        "versions": versions,
        "seed": config.seed,
        "data": data,
        "config": config.to_json(),
    }


def seal(folder: Path, names: Iterable[str], content: dict[str, Any], readme: str) -> dict[str, Any]:
    """Write README and manifest over the files of a bundle; returns the manifest."""
    (folder / README_NAME).write_text(readme, encoding="utf-8")
    return write_manifest(folder, [*names, README_NAME], content)


def write_manifest(folder: Path, names: Iterable[str], content: dict[str, Any]) -> dict[str, Any]:
    """Write ``manifest.json`` over the files of ``folder``, and return it.

    Args:
        folder: the bundle's folder.
        names: the files that belong to the bundle.
        content: everything else the manifest says.
    """
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)}
        for name in names
    }
    manifest: dict[str, Any] = {"format": FORMAT, **content, "files": files}
    # Through JSON and back: the hash is over what a reader will see.
    manifest = json.loads(json.dumps(manifest))
    manifest["manifest_sha256"] = _own_hash(manifest)
    write_json(folder / MANIFEST_NAME, manifest)
    return manifest


def _own_hash(manifest: dict[str, Any]) -> str:
    """Hex sha256 of a manifest as canonical JSON, its own hash left out."""
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise BundleError(
            f"there is no bundle {path}; make one with: sparsedevice export RUN --target packed --out {path}"
        )
    if not (path / MANIFEST_NAME).is_file():
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST_NAME}; export the run again")
    try:
        manifest = read_json(path / MANIFEST_NAME)
    except SparseDeviceError as error:
        raise BundleError(f"{error}; export the run again") from error
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{path / MANIFEST_NAME} has format {manifest.get('format')!r}, this program reads {FORMAT};"
            " export the run again"
        )
    if manifest.get("manifest_sha256") != _own_hash(manifest):
        raise BundleError(f"{path / MANIFEST_NAME} was edited after the export; export the run again")
    _target_of(path, manifest)
    return manifest


def _target_of(path: Path, manifest: dict[str, Any]) -> Target:
    for target in TARGETS:
        if target.name == manifest["target"]:
            return target
    raise BundleError(
        f"{path} is a bundle for target {manifest['target']!r}, which this version does not know; update"
    )


def _check_file(path: Path, name: str, entry: dict[str, Any], *, verify: bool) -> None:
    file = path / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not file.is_file():
        raise BundleError(f"{path} is incomplete: {name} is missing; export the run again")
    size = file.stat().st_size
    if size != entry["bytes"]:
        raise BundleError(
            f"{file} has {size} bytes, its manifest says {entry['bytes']}: it is truncated or from another"
            " bundle; export the run again"
        )
    if verify and sha256_file(file) != entry["sha256"]:
        raise BundleError(
            f"{file} was changed after the export: its sha256 is not the manifest's; export the run again"
        )
