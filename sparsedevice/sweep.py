"""``sweep``: a grid of runs, resumable, with dense tables of the same bytes beside the sparse ones."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsedevice.errors import ConfigError, RunError, SparseDeviceError
from sparsedevice.files import read_json, write_json

if TYPE_CHECKING:
    from sparsedevice.data import DataOptions
    from sparsedevice.run import Run

NAME = "sweep.json"
RESULT = "result.json"
CHECKPOINT = "checkpoint"
#: Bits of a value in each coding, and bytes of a row's scale, for counting what a dense row would weigh.
_BITS = {"f32": 32, "f16": 16, "int8": 8, "int4": 4}
_SCALE_BYTES = 4
_SECTIONS = ("item_pointers", "item_columns", "item_values", "item_scales")


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        family: "sparse", or "dense" for a table that is as large as a sparse one.
        settings: arguments of ``train``.
        values: codings in which the trained table is measured.
    """

    family: str
    settings: dict[str, Any]
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The settings for people, for example ``sparsity=0.9 dim=64``."""
        named = " ".join(f"{name}={value}" for name, value in self.settings.items())
        return named if self.family == "sparse" else f"{self.family} {named}"


@dataclass(frozen=True)
class SweepSettings:
    """What all cells share.

    Attributes:
        k: length of the rankings.
        epochs: passes; None for the rule of ``train``.
        max_users: test users that an artefact is measured on; None for all.
        dense: also train dense tables of the same bytes.
        jobs: runs at once; each gets its share of the cores.
        train: further settings of ``train`` by name.
    """

    k: int = 20
    epochs: int | None = None
    max_users: int | None = 5000
    dense: bool = True
    jobs: int = 1
    train: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("k", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)} is not a whole number of at least 1")


def sweep(
    data: str | Path,
    out: str | Path = "sweep",
    *,
    grid: Mapping[str, Sequence[Any]],
    values: Sequence[str] = ("int8",),
    options: DataOptions | None = None,
    settings: SweepSettings | None = None,
) -> dict[str, Any]:
    """Train and measure every combination; what an earlier sweep into ``out`` finished is kept.

    Every cell is measured on the test part from its packed file, users folded in from their histories, as a
    device does. A cell that was interrupted goes on from its checkpoint.

    Args:
        data: a log, a data folder, or ``synthetic``.
        out: folder for the cells and ``sweep.json``.
        grid: arguments of ``train`` (``sparsity``, ``dim``, ``method``, ``seed``), each with its values.
        values: codings of values.
        options: how the data is read and split.
        settings: what all cells share.

    Returns:
        What ``sweep.json`` holds: ``cells`` with their ``arms`` (``values``, ``item_bytes``, ``accuracy``).

    Raises:
        ConfigError: if the grid is empty or a setting is outside its range.
        DataError: if the data cannot be read.
        RunError: if a cell's checkpoint does not fit.
        SparseDeviceError: if a process of the sweep is ended from outside.
    """
    settings = settings or SweepSettings()
    out = Path(out)
    _check(grid, values)
    if "neumf" in (*grid.get("model", ()), settings.train.get("model")):
        raise ConfigError(
            "sweep measures packed files, which do not carry model 'neumf'; choose another model, or train it"
            " alone and export it to onnx or executorch"
        )
    _check_out(out)
    cells = [
        Cell("sparse", dict(zip(grid, chosen, strict=True)), tuple(values))
        for chosen in itertools.product(*grid.values())
    ]
    done = _run(cells, data, out, options, settings)
    if settings.dense:
        done += _run(_dense_cells(done), data, out, options, settings)
    result = {"data": str(data), "k": settings.k, "cells": done}
    write_json(out / NAME, result)
    return result


def render_sweep(result: Mapping[str, Any]) -> str:
    """The cells as a Markdown table, by bytes; ``*`` marks those that nothing smaller beats."""
    rows = sorted(
        (
            (arm["item_bytes"], arm["accuracy"], cell["name"], arm["values"])
            for cell in result["cells"]
            for arm in cell["arms"]
        ),
        key=lambda row: (row[0], -row[1]),
    )
    lines = [f"| item bytes | recall@{result['k']} | values | model |", "|---:|---:|---|---|"]
    best = -1.0
    for size, accuracy, name, values in rows:
        mark = " *" if accuracy > best else ""
        best = max(best, accuracy)
        lines.append(f"| {size:,} | {accuracy:.4f}{mark} | {values} | {name} |")
    return "\n".join(lines) + "\n"


def _run(
    cells: Sequence[Cell], data: str | Path, out: Path, options: DataOptions | None, settings: SweepSettings
) -> list[dict[str, Any]]:
    threads = max(1, (os.cpu_count() or 1) // settings.jobs)
    tasks = [
        (cell, str(data), _folder(out, cell, data, options, settings), options, settings, threads)
        for cell in cells
    ]
    if settings.jobs == 1:
        return [_measure(*task) for task in tasks]
    # Fresh processes: a copy of one that runs threads may hang.
    with ProcessPoolExecutor(settings.jobs, mp_context=get_context("spawn")) as pool:
        try:
            return [future.result() for future in [pool.submit(_measure, *task) for task in tasks]]
        except BrokenProcessPool as error:
            raise SparseDeviceError(
                "a run of the sweep was ended from outside (is memory short?); start it again, with fewer"
                f" --jobs perhaps: finished cells in {out} are kept"
            ) from error


def _measure(
    cell: Cell, data: str, folder: Path, options: DataOptions | None, settings: SweepSettings, threads: int
) -> dict[str, Any]:
    """Train one cell and measure it in every coding, unless that was done before."""
    if (folder / RESULT).is_file():
        return read_json(folder / RESULT)
    from sparsedevice.exporters import export
    from sparsedevice.packing import inspect

    run = _train(cell, data, folder / "run", options, settings, threads)
    arms = []
    for coding in cell.values:
        with tempfile.TemporaryDirectory() as scratch:
            bundle = export(
                run, "packed", Path(scratch) / "b", values=coding, k=settings.k, max_users=settings.max_users
            )
            found = inspect(bundle.path / "model.sd")
        measured = bundle.manifest["accuracy"]["folded"]
        if measured is None:
            raise SparseDeviceError(f"{data} has no test part to measure on; choose a split with one")
        size = sum(found["sections"][name]["bytes"] for name in _SECTIONS)
        if cell.family == "dense":  # a dense file needs no columns and no pointers
            size = _dense_bytes(found["n_items"], found["dim"], coding)
        arms.append({"values": coding, "item_bytes": size, "accuracy": measured[f"recall@{settings.k}"]})
    result = {
        "name": cell.name,
        "family": cell.family,
        "settings": cell.settings,
        "n_items": run.items.shape[0],
        "dim": run.items.shape[1],
        "nnz": int(run.items.nnz),
        "arms": arms,
        "history": run.metrics.get("history", []),
    }
    write_json(folder / RESULT, result)
    return result


def _train(
    cell: Cell, data: str, folder: Path, options: DataOptions | None, settings: SweepSettings, threads: int
) -> Run:
    """A run that was finished but not measured, the rest of an interrupted one, or a new one."""
    from sparsedevice.run import Run
    from sparsedevice.training import train
    from sparsedevice.training.checkpoint import load_checkpoint

    resume = (folder / CHECKPOINT).is_dir()
    try:
        if (folder / "tables.safetensors").is_file():  # a finished run takes its checkpoint's place
            return Run.load(folder)
        if resume:  # --jobs may have changed, and a checkpoint goes on with its own threads only
            threads = load_checkpoint(folder)[1]["config"]["threads"]
        run = train(
            data,
            folder,
            **{"epochs": settings.epochs, **cell.settings},
            threads=threads,
            resume=resume,
            options=options,
            settings=settings.train,
            progress=settings.jobs == 1,
        )
    except RunError as error:
        raise RunError(f"{error}; in a sweep: delete {folder} to train this cell anew") from error
    if not isinstance(run, Run):
        raise ConfigError("sweep works on interaction logs; this model is trained on clicks")
    return run


def _dense_cells(done: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """For every sparse arm dense tables of the nearest width with as many bytes, quantised and float32."""
    wanted: dict[tuple[int, int], list[str]] = {}
    for cell in done:
        for arm in cell["arms"]:
            row_bytes = arm["item_bytes"] / cell["n_items"] - _SCALE_BYTES
            # In the arm's own coding, and in the one that a table has before anybody quantises it.
            for coding in dict.fromkeys((arm["values"], "f32")):
                dim = max(1, round(8 * row_bytes / _BITS[coding]))
                codings = wanted.setdefault((dim, cell["settings"].get("seed", 0)), [])
                if coding not in codings:
                    codings.append(coding)
    return [
        Cell("dense", {"sparsity": 0.0, "dim": dim, "seed": seed}, tuple(codings))
        for (dim, seed), codings in sorted(wanted.items())
    ]


def _dense_bytes(n_items: int, dim: int, values: str) -> int:
    return n_items * (-(-dim * _BITS[values] // 8) + _SCALE_BYTES)


def _folder(
    out: Path, cell: Cell, data: str | Path, options: DataOptions | None, settings: SweepSettings
) -> Path:
    """The cell's folder, named by everything that its result depends on."""
    shared = {name: value for name, value in asdict(settings).items() if name not in ("jobs", "dense")}
    key = {**asdict(cell), "data": str(data), "options": options.to_json() if options else None, **shared}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:8]
    slug = cell.name.replace(" ", "_").replace("=", "-").replace("/", "-")
    return out / "cells" / f"{slug}.{digest}"


def _check(grid: Mapping[str, Sequence[Any]], values: Sequence[str]) -> None:
    if not grid:
        raise ConfigError("the grid is empty; give for example --sparsity 0.8,0.9")
    for name, choices in grid.items():
        if not choices:
            raise ConfigError(f"{name} has no value; give for example --sparsity 0.8,0.9")
    for coding in values:
        if coding not in _BITS:
            raise ConfigError(f"values {coding!r} is unknown; use one of {', '.join(_BITS)}")
    if not values:
        raise ConfigError("values is empty; give for example --values int8,int4")


def _check_out(out: Path) -> None:
    if out.is_file():
        raise ConfigError(f"{out} is a file, not a folder; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / NAME).is_file() and not (out / "cells").is_dir():
        raise ConfigError(f"{out} holds files and is not a sweep; choose another --out")
