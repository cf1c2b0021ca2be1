"""Bundles of models of clicks: written, opened, and measured from their artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsedevice.click_run import ClickRun
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import Clicks, ClickSchema
from sparsedevice.data.load_clicks import load_clicks
from sparsedevice.errors import BundleError, ConfigError, DataError, SparseDeviceError
from sparsedevice.evaluation.clicks import click_metrics
from sparsedevice.files import atomic_folder, read_json, write_json

from ..bundle import Bundle, check_out, describe, seal
from ..targets import TARGETS, ClickTarget, Target, find_target
from .readme import render_readme
from .scorer import ClickScorer
from .tables import DenseRows, click_tables

SCHEMA_NAME = "schema.json"


def export_clicks(
    run: ClickRun | str | Path, target: str, out: str | Path, *, values: str | None = None
) -> Bundle:
    """Write a bundle of a model of clicks; nothing is left behind where a step fails.

    Args:
        run: a run on a click log, or its folder.
        target: a name of the table in ``targets.py``.
        out: the bundle's folder; an existing bundle is replaced.
        values: coding of the table's values: f32 (the default), f16 or int8. Towers stay float32.

    Raises:
        ConfigError: if the target is unknown or does not carry models of clicks or these values.
        MissingExtraError: if the target's packages are not installed.
        RunError: if the run folder is missing or damaged.
        SparseDeviceError: if ``out`` cannot be written or holds something else.
    """
    row = find_target(target)
    clicks = _click_target(row)
    row.check_extra()
    out = Path(out)
    check_out(out)
    if not isinstance(run, ClickRun):
        run = ClickRun.load(run)
    tables = click_tables(run, values or "f32")
    with atomic_folder(out) as folder:
        write_json(folder / SCHEMA_NAME, run.schema.to_json())
        names = [*clicks.write(tables, folder), SCHEMA_NAME]
        scorer = clicks.open(run.schema, folder)
        dense = isinstance(tables.rows, DenseRows)
        content = {
            "kind": "clicks",
            **describe(row, run.config, run.source),
            "sizes": {
                "fields": len(run.schema.categories) + len(run.schema.numbers),
                "categories": run.schema.n_rows,
                "dim": tables.rows.dim,
                "nnz": int(tables.rows.values.size),
                "table": "dense" if dense else "sparse",
                "values": tables.values,
                "tower_weights": sum(int(value.size) for value in tables.towers.values()),
            },
            "accuracy": {
                "artefact": None if run.test is None else _measure(scorer, run.test),
                "trained_model": run.metrics.get("test"),
            },
        }
        manifest = seal(folder, names, content, render_readme(row, run, content, names))
    return Bundle(out, manifest)


def open_clicks(path: str | Path) -> ClickScorer:
    """Open a bundle of a model of clicks, every file checked against its manifest, with its own runtime.

    Raises:
        BundleError: if a file is missing, truncated, swapped or edited, or the bundle ranks a catalogue.
        MissingExtraError: if the target's packages are not installed.
    """
    return _open(Bundle.load(path))


def evaluate_click_bundle(bundle: Bundle, *, data: str | Path | None = None) -> dict[str, Any]:
    """``auc`` and ``log_loss`` of the log's test rows, computed by the bundle's artefact.

    Args:
        bundle: the bundle, checked.
        data: where the log is now; None for where it was in training. It must be the same log.

    Raises:
        BundleError: if the bundle is damaged, or the log is no longer what it was trained on.
        DataError: if the log cannot be read or has no test part.
    """
    recorded = bundle.manifest["data"]
    if "options" not in recorded or (data is None and not Path(recorded.get("data", "")).exists()):
        raise DataError(
            f"{recorded.get('data')!r}, which {bundle.path} was trained on, is not there; give it with --data"
        )
    source = recorded["data"] if data is None else data
    split = load_clicks(source, ClickOptions(**recorded["options"]))
    if split.fingerprint() != recorded["fingerprint"]:
        raise BundleError(
            f"{source} is not what {bundle.path} was trained on (its fingerprint differs); give that log with"
            " --data"
        )
    if split.test is None:
        raise DataError(f"{source} has no test part; train with test_fraction above 0")
    return _measure(_open(bundle), split.test)


def _open(bundle: Bundle) -> ClickScorer:
    if not bundle.scores_clicks:
        raise BundleError(
            f"{bundle.path} ranks a catalogue and gives no probabilities of clicks; open it with"
            " sparsedevice.exporters.open_bundle"
        )
    clicks = _click_target(bundle.target)
    bundle.target.check_extra()
    try:
        schema = ClickSchema.from_json(read_json(bundle.path / SCHEMA_NAME))
    except (SparseDeviceError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle.path / SCHEMA_NAME} is damaged ({error}); export the run again"
        ) from error
    return clicks.open(schema, bundle.path)


def _measure(scorer: ClickScorer, part: Clicks) -> dict[str, Any]:
    return click_metrics(part.label, scorer.score(part))


def _click_target(row: Target) -> ClickTarget:
    if row.clicks is None:
        able = ", ".join(target.name for target in TARGETS if target.clicks is not None)
        raise ConfigError(
            f"target {row.name!r} ranks a catalogue and does not carry models of clicks; use --target {able}"
        )
    return row.clicks
