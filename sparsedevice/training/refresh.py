"""``train --from``: an earlier run goes on with new interactions, and keeps what it learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from sparsedevice.data import DataOptions, Interactions, Split
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.evaluate import evaluate_run
from sparsedevice.models.build import model_of, resolved_method
from sparsedevice.run import Run
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.batches import UserBatches
from sparsedevice.training.budget import plan_shape
from sparsedevice.training.checkpoint import load_checkpoint
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.optimizer import Table
from sparsedevice.training.prior import Curvature, Prior, carried_over
from sparsedevice.training.refresh_data import grown, joined_split, new_split, over
from sparsedevice.training.trainer import fit, measure_test
from sparsedevice.training.warm import WarmStart

#: Fan-in of the growth phase over the final one; steps are shorter than from scratch; H of older data fades.
PRIOR = 100.0
WIDEN = 1.5
LEARNING_RATE_SHARE = 0.3
EPOCHS_SHARE = 0.25
DECAY = 0.9
# What a refresh may set anew; the rest is the run's.
MODELS = ("mf", "elsa", "pooled")
USUAL = (("sparse", "both"), ("fan_in", "fixed"))
SETTINGS = (
    "lr",
    "epochs",
    "batch_users",
    "negatives",
    "validation_every",
    "delta_t",
    "refit",
    "widen",
    "device",
)


def refresh(
    run: str | Path | Run,
    data: str | Path | Split,
    out: str | Path = "run",
    *,
    prior: float | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    options: DataOptions | ClickOptions | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Run:
    """Continue a run on new data, within the same sparsity or byte budget.

    Training goes over the whole histories of the users who have new interactions. Learnt rows start where
    they were, new ones from their neighbours; rows first grow by half, then are cut back (the grow and prune
    phases of AMGP, arXiv 2105.01064), and a quadratic prior holds what the old data determined
    (``training.prior``).

    Args:
        run: the earlier run, or its folder; its model, method, width and budget are kept.
        data: a log with the new interactions; what the run knows already may be in it, and is left out.
        out: run folder to write.
        prior: weight of what was learnt against the new data, ``PRIOR`` where None; 0 without.
        epochs: passes; a quarter of the run's where None.
        seed: the run's where None.
        threads: CPU threads; all cores where None.
        resume: continue from the checkpoint in ``out``.
        options: how ``data`` is read and split.
        settings: fields of ``TrainConfig`` that a refresh may set: lr, batch_users, negatives,
            validation_every, delta_t, refit, widen, device.
        progress: show a progress bar where standard error is a terminal.

    Returns:
        The run; ``metrics["refresh"]`` has what is new, and recall of the old model and of this one on the
        new and on the old test part, users folded in from all their training interactions.

    Raises:
        RunError: if the run folder is missing or damaged, or a checkpoint does not fit.
        DataError: if nothing is new, or the new data cannot be read or split.
        ConfigError: if a setting is not a refresh's, or outside its range.
    """
    if isinstance(options, ClickOptions):
        raise ConfigError("--from continues runs on logs of users and items; a click run is trained anew")
    unknown = sorted(set(settings or {}) - set(SETTINGS))
    if unknown:
        raise ConfigError(
            f"a refresh keeps the run's {unknown[0]}; leave it out (it may set {', '.join(SETTINGS)}), "
            "or train anew"
        )
    prior = PRIOR if prior is None else prior
    out = Path(out)
    checkpoint = load_checkpoint(out) if resume else None
    old = run if isinstance(run, Run) else Run.load(run)
    _check_method(old.config)
    new = new_split(old.split, data, options or DataOptions(seed=old.config.seed if seed is None else seed))
    split = joined_split(old.split, new)
    config = _config(old.config, prior, epochs, seed, threads, settings or {})
    if config.budget_bytes is not None:
        config = plan_shape(config, split)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        tables = _grown_tables(old, split)
        curvature = old.curvature or mean_squares(old.config, _tables(old), old.split.train.matrix())
        warm = WarmStart(
            tables,
            {name: Prior(tables[name], curvature[name], prior) for name in tables} if prior else {},
            np.unique(_rows(split, new.train)),
        )
        source = {
            "data": "split in memory" if isinstance(data, Split) else str(data),
            "from": "run in memory" if isinstance(run, Run) else str(run),
            "before": old.source,
            "options": (options or DataOptions()).to_json(),
            "fingerprint": split.fingerprint(),
        }
        found = fit(
            split, config, out=out, source=source, checkpoint=checkpoint, progress=progress,
            measure=measure_test, warm=warm,
        )  # fmt: skip
        fresh = mean_squares(config, _tables(found), warm.active(split.train.matrix()))
        aged = {
            name: DECAY * carried_over(tables[name], curvature[name], table) + fresh[name]
            for name, table in _tables(found).items()
        }
        found = replace(found, curvature=aged)
        found.metrics["refresh"] = _report(old, found, new, tables)
    finally:
        torch.set_num_threads(before)
    found.save(out)
    return found


def kept_settings(shape: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a refresh as the command line gives them, without those at their defaults.

    Raises:
        ConfigError: if one of ``shape`` (model, method, sparsity, dim, budget) is set: these are the run's.
    """
    usual = {"model": "mf", "method": "sparserec", "sparsity": 0.9, "dim": None, "budget": None}
    for name, value in shape.items():
        if value != usual[name]:
            raise ConfigError(f"--from keeps the run's {name}; leave --{name} out, or train without --from")
    return {name: value for name, value in settings.items() if (name, value) not in USUAL}


def mean_squares(
    config: TrainConfig, tables: dict[str, scipy.sparse.csr_array], matrix: scipy.sparse.csr_array
) -> dict[str, NDArray[np.float32]]:
    """H of each table's entries, float32[nnz]: an epoch over ``matrix`` (n_users x n_items), steps of 0."""
    assert config.batch_users is not None
    assert config.negatives is not None
    learnt: dict[str, Table] = {}
    for name, table in tables.items():
        is_dense = table.nnz == table.shape[0] * table.shape[1]
        learnt[name] = (
            DenseTable(torch.from_numpy(table.toarray())) if is_dense else SparseTable.from_csr(table)
        )
    model = model_of(replace(config, device="cpu"), learnt, {}, matrix)
    watched = {name: Curvature(table) for name, table in learnt.items()}
    batches = UserBatches(matrix, config.batch_users, config.negatives, config.seed)
    order = batches.order(0)
    for step in range(batches.steps_per_epoch):
        model.step(batches.batch(order, 0, step), 0.0, step=step, last=False, progress=0.0)
    return {name: watched[name].mean(np.diff(table.indptr)) for name, table in tables.items()}


def _config(
    old: TrainConfig,
    prior: float,
    epochs: int | None,
    seed: int | None,
    threads: int | None,
    settings: Mapping[str, Any],
) -> TrainConfig:
    assert old.epochs is not None
    method = resolved_method(old)
    # Blocks need the same entries all the time, and where nothing grows there is nothing to grow into.
    widen = 1.0 if old.sparsity == 0 or method.blocks > 1 else max(WIDEN, method.widen)
    config = replace(
        old,
        prior=prior,
        epochs=epochs or max(1, round(old.epochs * EPOCHS_SHARE)),
        seed=old.seed if seed is None else seed,
        threads=threads or torch.get_num_threads(),
        lr=None if old.lr is None else old.lr * LEARNING_RATE_SHARE,
        widen=widen,
        refit=False,
        teacher=None,
        teacher_weight=None,
    )
    return TrainConfig.from_json({**config.to_json(), **settings})


def _check_method(config: TrainConfig) -> None:
    if config.model not in MODELS:
        raise ConfigError(
            f"a refresh goes on with runs of model {', '.join(MODELS)}, not of {config.model!r}; train anew"
        )
    if config.sparsity > 0 and resolved_method(config).weights != "sparse":
        raise ConfigError(
            f"a refresh moves sparse rows, and method {config.method!r} keeps its weights in another form; "
            "train anew"
        )


def _tables(run: Run) -> dict[str, scipy.sparse.csr_array]:
    return {"items": run.items} if run.users is None else {"users": run.users, "items": run.items}


def _grown_tables(old: Run, split: Split) -> dict[str, scipy.sparse.csr_array]:
    sizes = {"users": split.train.n_users, "items": split.train.n_items}
    return {name: grown(table, sizes[name]) for name, table in _tables(old).items()}


def _rows(split: Split, part: Interactions) -> NDArray[np.int64]:
    return split.train.user_ids.rows(part.user_ids.ids)[part.user_index].astype(np.int64)


def _report(old: Run, found: Run, new: Split, tables: dict[str, scipy.sparse.csr_array]) -> dict[str, Any]:
    """Sizes, and folded-in recall of both models on both test parts."""
    split = found.split
    weights = old.fold_in.weights
    if weights is not None:
        weights = np.concatenate([weights, np.ones(split.train.n_items - len(weights), weights.dtype)])
    before = replace(found, items=tables["items"], users=None, fold_in=replace(old.fold_in, weights=weights))
    report: dict[str, Any] = {
        "new_users": split.train.n_users - old.split.train.n_users,
        "new_items": split.train.n_items - old.split.train.n_items,
        "new_interactions": len(new.train),
    }
    for name, part in (("new", new.test), ("old", old.split.test)):
        test = over(split, part)
        if test is None:
            continue
        for model, arm in (("before", before), ("after", found)):
            measured = evaluate_run(replace(arm, split=replace(split, test=test)), users="folded")
            report[f"{name}_test_recall@20_{model}"] = measured["recall@20"]
    return report
