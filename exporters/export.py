"""Exporting a run: pack it, write the target's artefact, measure it, and only then keep the bundle."""

from __future__ import annotations

from pathlib import Path

from sparsedevice.click_run import ClickRun
from sparsedevice.errors import ConfigError
from sparsedevice.files import atomic_folder
from sparsedevice.pack_run import check_budget, pack_run
from sparsedevice.packing.format import layout_reason
from sparsedevice.run import Run

from .accuracy import measure
from .bundle import Bundle, check_out, describe, seal
from .clicks import export_clicks
from .readme import render_readme
from .targets import BITMAP, PACKED_NAME, find_target


def export(
    run: Run | ClickRun | str | Path,
    target: str,
    out: str | Path,
    *,
    values: str | None = None,
    layout: str = "auto",
    users: bool = False,
    compact: bool = False,
    k: int = 20,
    max_users: int | None = None,
) -> Bundle:
    """Write a bundle for one target.

    Nothing is left behind where a step fails: the folder is filled under another name and renamed last.

    Args:
        run: a run, or its folder. Of a run on a click log see :func:`sparsedevice.exporters.export_clicks`:
            ``layout``, ``users``, ``compact``, ``k`` and ``max_users`` are not for it.
        target: a name of the table in ``targets.py``.
        out: the bundle's folder; an existing bundle is replaced.
        values: coding of values: f32, f16, int8 or int4; None takes what the run was budgeted for, else int8.
        layout: layout of the packed file: auto, csr or sliced; or bitmap, of the graph of target onnx.
        users: ship the user rows and what each user has seen.
        compact: put the model into the app in the compact coding, for target android.
        k: length of the rankings by which the artefact's accuracy is measured.
        max_users: measure on a fixed random choice of this many test users; None takes all.

    Raises:
        ConfigError: if the target is unknown or cannot carry what is asked for, or the packed file would be
            over the byte budget that the run was trained for.
        MissingExtraError: if the target's packages are not installed.
        RunError: if the run folder is missing or damaged.
        SparseDeviceError: if ``out`` cannot be written or holds something else.
    """
    if isinstance(run, ClickRun) or (
        not isinstance(run, Run) and (Path(run) / "clicks.safetensors").exists()
    ):
        if users or layout != "auto" or compact:
            raise ConfigError(
                "a model of clicks has no user rows, no layouts and no compact coding; leave out --users,"
                " --layout and --compact"
            )
        return export_clicks(run, target, out, values=values)
    row = find_target(target)
    row.check_extra()
    out = Path(out)
    check_out(out)
    if not isinstance(run, Run):
        run = Run.load(run)
    if users and run.users is None:
        raise ConfigError(
            "this run has no user rows to ship; leave out --users: histories are folded in on the device"
        )
    values = values or run.config.values or "int8"
    row.check(
        values=values,
        layout=layout,
        users=users,
        dim=run.items.shape[1],
        network=run.network is not None,
        compact=compact,
    )
    with atomic_folder(out) as folder:
        in_file = "auto" if layout == BITMAP else layout
        packed = pack_run(run, folder / PACKED_NAME, values=values, layout=in_file, users=users)
        check_budget(run.config, packed)
        names = [PACKED_NAME, *row.write(packed, folder, layout=layout, compact=compact)]
        recommender = row.open(packed, folder)
        accuracy = measure(recommender, run, users=users, k=k, max_users=max_users)
        content = {
            **describe(row, run.config, {**run.source, "split": run.split.rule}),
            "sizes": {
                "n_items": packed.n_items,
                "n_users": packed.n_users,
                "dim": packed.dim,
                "nnz": packed.nnz,
                "values": packed.values,
                "layout": BITMAP if layout == BITMAP else packed.layout,
                "layout_reason": layout_reason(layout, packed.values, packed.layout),
                "similarity": packed.similarity,
            },
            "accuracy": accuracy,
        }
        manifest = seal(folder, names, content, render_readme(row, packed, content, names))
    return Bundle(out, manifest)
