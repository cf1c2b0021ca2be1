"""What a report is made of, read from the folders and files that it is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsedevice.bench.baseline import read_results
from sparsedevice.errors import ConfigError, SparseDeviceError
from sparsedevice.files import read_json


@dataclass(frozen=True)
class Point:
    """A model on the plane of bytes and accuracy.

    Attributes:
        label: what it is.
        group: points of one group share a mark.
        item_bytes: bytes of the item table.
        accuracy: Recall@k on test.
    """

    label: str
    group: str
    item_bytes: int
    accuracy: float


@dataclass
class Material:
    """Everything that was found.

    Attributes:
        metric: name of the accuracy in ``points``.
        points: for the frontier.
        benches: results of ``bench``.
        peers: what ``python -m benchmarks.peers --json`` wrote.
        curves: for each run its history: epochs, loss and validation metric.
        popularity: for each run the mean entries of an item, by tenth of the items from the most popular on.
        profiles: for each bundle what ``profile`` says about its bytes.
        summaries: for each run or bundle what a person wants to know first.
    """

    metric: str = "recall@20"
    points: list[Point] = field(default_factory=list)
    benches: list[dict[str, Any]] = field(default_factory=list)
    peers: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    popularity: dict[str, list[float]] = field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)


def collect(sources: Sequence[Path]) -> Material:
    """Read run folders, bundles, sweeps and files of ``bench``, ``profile`` or the peers as JSON.

    Raises:
        ConfigError: if a source is none of these, or none is given.
        SparseDeviceError: if one is damaged.
    """
    if not sources:
        raise ConfigError("nothing to report; give run folders, bundles, sweeps or benchmark files")
    material = Material()
    for source in sources:
        if not source.exists():
            raise SparseDeviceError(f"cannot read {source}: it does not exist")
        if source.is_file():
            found = _object_in(source)
            if "peers" in found:
                material.peers.append(found)
            elif {"bytes", "table", "time"} <= set(found):
                material.profiles[_free(Path(found["path"]).name, material.profiles)] = found
            else:
                material.benches += read_results(source)
        elif (source / "sweep.json").is_file():
            _add_sweep(material, source)
        elif (source / "manifest.json").is_file():
            _add_bundle(material, source)
        elif (source / "config.json").is_file():
            _add_run(material, source)
        else:
            raise ConfigError(f"{source} is no run, bundle or sweep; give the folder that one was written to")
    return material


def _add_run(material: Material, path: Path) -> None:
    from sparsedevice.run import Run

    run = Run.load(path)
    name = _free(path.name, material.summaries)
    material.summaries[name] = {
        key: value for key, value in run.summary().items() if not isinstance(value, (dict, list))
    } | dict(run.metrics.get("test", {}))
    if run.metrics.get("history"):
        material.curves[name] = run.metrics["history"]
    counts = np.bincount(run.split.train.item_index, minlength=run.items.shape[0])
    lengths = np.diff(run.items.indptr)[np.argsort(-counts, kind="stable")]
    material.popularity[name] = [float(part.mean()) for part in np.array_split(lengths, 10) if len(part)]


def _add_bundle(material: Material, path: Path) -> None:
    from sparsedevice.exporters import Bundle
    from sparsedevice.exporters.targets import PACKED_NAME
    from sparsedevice.profile import profile

    bundle = Bundle.load(path)
    name = _free(path.name, material.summaries)
    material.summaries[name] = bundle.summary()
    if bundle.scores_clicks:
        return
    # The packed file alone is profiled: timing belongs to bench, which says how it was done.
    found = profile(path / PACKED_NAME)
    material.profiles[name] = found
    accuracy = bundle.manifest["accuracy"]
    measured = accuracy.get("shipped") or accuracy.get("folded")
    if measured:
        material.metric = f"recall@{accuracy['k']}"
        size = sum(found["bytes"]["groups"]["items"].values())
        material.points.append(Point(name, "bundle", size, measured[material.metric]))


def _add_sweep(material: Material, path: Path) -> None:
    found = read_json(path / "sweep.json")
    material.metric = f"recall@{found['k']}"
    for cell in found["cells"]:
        for arm in cell["arms"]:
            material.points.append(
                Point(f"{cell['name']} {arm['values']}", cell["family"], arm["item_bytes"], arm["accuracy"])
            )
        if cell.get("history"):
            material.curves[_free(cell["name"], material.curves)] = cell["history"]


def _object_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one for any other file, which its own reader judges."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _free(name: str, taken: dict[str, Any]) -> str:
    """The name, with a number where two sources share it."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
