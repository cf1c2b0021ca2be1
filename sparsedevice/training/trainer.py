"""``train``: from a log to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import scipy.sparse
import torch

from sparsedevice.byte_size import parse_bytes
from sparsedevice.click_run import ClickRun
from sparsedevice.data import DataOptions, Split, load_split
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import ClickSplit
from sparsedevice.errors import ConfigError, DataError
from sparsedevice.evaluation.evaluate import evaluate_run
from sparsedevice.models.build import build_model, resolved_method
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.run import Run
from sparsedevice.sparse.presets import WEIGHTS
from sparsedevice.training.budget import keep_to_budget, plan_shape
from sparsedevice.training.checkpoint import load_checkpoint
from sparsedevice.training.click_config import CLICK_MODELS
from sparsedevice.training.clicks import train_clicks
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.fold_in import choose_fold_in, same_fold_in
from sparsedevice.training.loop import Trainer
from sparsedevice.training.prune import prune_after_training
from sparsedevice.training.teacher import Teacher
from sparsedevice.training.warm import WarmStart

Measure = Callable[[Run], dict[str, Any]]


def train(
    data: str | Path | Split | ClickSplit,
    out: str | Path = "run",
    *,
    model: str = "mf",
    method: str = "sparserec",
    sparsity: float = 0.9,
    dim: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    budget: str | int | None = None,
    resume: bool = False,
    options: DataOptions | ClickOptions | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Run | ClickRun:
    """Turn an interaction log into a run folder with a trained sparse model.

    Args:
        data: a log, a data folder, ``synthetic``, or a split that is in memory; a click log for "dlrm".
        out: run folder to write; an existing run there is replaced.
        model: what is learnt.
        method: how the sparse shape is found and moved (``sparsedevice.sparse.presets.METHODS``).
        sparsity: share of entries that are zero, 0 to below 1.
        dim: width of the tables; by rule where None.
        epochs: passes over the training users; by rule where None.
        seed: same seed and threads, same files.
        threads: CPU threads; all cores where None.
        budget: bytes that the packed file may have, for example "1MB" or 65536: width, fan-in and coding of
            values are chosen so that it fits, and the file obeys; ``sparsity`` is then not looked at.
        resume: continue from the checkpoint that an interrupted training left in ``out``.
        options: how ``data`` is read and split; ``ClickOptions`` for "dlrm".
        settings: any other field of ``TrainConfig`` by name, or of ``ClickConfig`` for "dlrm".
        progress: show a progress bar where standard error is a terminal.

    Raises:
        DataError: if the log cannot be read or split, or has too little to train on.
        ConfigError: if a setting is outside its range.
        RunError: if there is nothing to resume, or the checkpoint was made with other settings or data.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written into ``out``.
    """
    out = Path(out)
    asked: dict[str, Any] = {
        "model": model, "method": method, "sparsity": sparsity, "dim": dim, "epochs": epochs, "seed": seed,
        "threads": threads,
    }  # fmt: skip
    twice = sorted(set(asked) & set(settings or {}))
    if twice:
        raise ConfigError(f"setting {twice[0]!r} is an argument of its own; leave it out of settings")
    if model in CLICK_MODELS:
        if budget is not None:
            raise ConfigError(f"model {model!r} is not packed, so it takes no budget; set dim and sparsity")
        if isinstance(options, DataOptions) or isinstance(data, Split):
            raise ConfigError(f"model {model!r} reads click logs; give ClickOptions, or a ClickSplit as data")
        return train_clicks(
            data,
            out,
            resume=resume,
            options=options,
            settings={**asked, **(settings or {})},
            progress=progress,
        )
    if isinstance(options, ClickOptions) or isinstance(data, ClickSplit):
        raise ConfigError(f"model {model!r} reads logs of users and items; for clicks choose model 'dlrm'")
    if budget is not None:
        asked["budget_bytes"] = parse_bytes(budget)
    config = TrainConfig.from_json({**asked, **(settings or {})})
    options = options or DataOptions(seed=seed)
    checkpoint = load_checkpoint(out) if resume else None
    split = data if isinstance(data, Split) else load_split(data, options)
    if len(split.train) == 0 or split.train.n_items < 2 or split.train.n_users < 2:
        raise DataError(
            f"there is too little to train on: {len(split.train)} interactions, {split.train.n_users} users, "
            f"{split.train.n_items} items; two users and two items at least are needed"
        )
    if config.budget_bytes is not None:
        config = plan_shape(config, split)
    config = config.resolve(split.train.n_users, split.train.n_items, len(split.train))
    config = replace(
        config,
        threads=config.threads or torch.get_num_threads(),
        precision=config.precision or fast_precision(config.device),
    )
    source = {
        "data": "split in memory" if isinstance(data, Split) else str(data),
        "options": options.to_json(),
        "fingerprint": split.fingerprint(),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        run = fit(
            split,
            config,
            out=out,
            source=source,
            checkpoint=checkpoint,
            progress=progress,
            measure=measure_test,
        )
    finally:
        torch.set_num_threads(before)
    run.save(out)
    return run


def fast_precision(device: str) -> str:
    """The precision of matrix products that is fastest on this processor."""
    if device != "cpu":
        return "bfloat16"
    # Older versions of torch cannot tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def fit(
    split: Split,
    config: TrainConfig,
    *,
    out: Path,
    source: dict[str, Any],
    checkpoint: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None,
    progress: bool = False,
    fold: bool = True,
    measure: Measure | None = None,
    warm: WarmStart | None = None,
) -> Run:
    """Train on a split and choose the fold-in rule; choices never look at the test part.

    With ``config.refit`` a second pass trains on train and validation with the first pass's choices; its
    metrics then hold the first pass's under ``first_pass``.

    Args:
        split: the data.
        config: resolved settings.
        out: run folder for checkpoints.
        source: what the data is, stored with checkpoints and run.
        checkpoint: where to continue from, or None.
        progress: show a progress bar.
        fold: choose a fold-in rule; else the plain sum, for sweeps that look at learnt users only.
        measure: what to report of each pass's model, by name, for instance its test metrics.
        warm: what a refresh starts from.

    Raises:
        DataError: if a refit is asked for and there is no validation part.
    """
    if config.refit and (split.validation is None or not len(split.validation)):
        raise DataError(
            "--refit trains again on train and validation, and there is no validation part; leave it out"
        )
    first: dict[str, Any] | None = checkpoint[1]["first_pass"] if checkpoint is not None else None
    if first is None:
        run = _fit_pass(split, config, None, out, source, checkpoint, progress, fold, warm)
        run.metrics.update(measure(run) if measure else {})
        if not config.refit:
            return run
        # Only the figures stay: two models at once would double the memory.
        first, checkpoint = run.metrics, None
        del run
    run = _fit_pass(split, config, first, out, source, checkpoint, progress, fold, warm)
    run.metrics.update(measure(run) if measure else {})
    run.metrics["first_pass"] = first
    return run


def _fit_pass(
    split: Split,
    config: TrainConfig,
    first: dict[str, Any] | None,
    out: Path,
    source: dict[str, Any],
    checkpoint: tuple[dict[str, torch.Tensor], dict[str, Any]] | None,
    progress: bool,
    fold: bool,
    warm: WarmStart | None,
) -> Run:
    """One training: on train, choosing by validation, or on both with the choices in ``first``."""
    matrix = split.train.matrix()
    validation = None if split.validation is None or not len(split.validation) else split.validation.matrix()
    if first is not None:
        assert validation is not None
        matrix, validation = scipy.sparse.csr_array(matrix + validation), None
    started = time.monotonic()
    teacher = None
    if config.teacher is not None:
        assert config.teacher_weight is not None
        assert config.temperature is not None
        teacher = Teacher.load(
            config.teacher, split, matrix, weight=config.teacher_weight, temperature=config.temperature,
            seed=config.seed,
        )  # fmt: skip
    model = build_model(config, matrix, warm.values if warm else None, teacher)
    prior_bytes = warm.watch(model.tables) if warm else 0
    initial_seconds = time.monotonic() - started
    trained = matrix if warm is None else warm.active(matrix)
    trainer = Trainer(
        model, config, trained, validation, out, source, prior_bytes=prior_bytes,
        stop_epoch=None if first is None else first["training"]["kept_epoch"], first_pass=first,
    )  # fmt: skip
    if checkpoint is not None:
        trainer.restore(*checkpoint)
    elif first is not None:
        trainer.save()
    trainer.run(progress=progress)
    items, users = model.trained_tables()
    pruning: dict[str, float] = {}
    method = resolved_method(config)
    if method.weights == "dense" and config.sparsity > 0:
        floor = None if first is None else int(first["pruning"]["floor"])
        items, users, pruning = prune_after_training(
            items, users, model.similarity, config, matrix, validation, floor
        )
    fold_in, fold_metrics = FoldIn(), dict[str, Any]()
    rule = model.fold_in()
    if rule is not None:
        fold_in, fold_metrics = rule, {"rule": "part of the model"}
    elif fold and first is not None:
        fold_in, fold_metrics = same_fold_in(first["fold_in"], items, users, model.similarity, matrix)
    elif fold:
        fold_in, fold_metrics = choose_fold_in(
            items, users, model.similarity, matrix, validation, config.seed,
            wanted=config.fold_in, temperature=config.temperature,
            pull=config.temperature2 or 1.0, with_matrix=config.fold_matrix,
            network=model.network(),
        )  # fmt: skip
    position = trainer.position
    metrics: dict[str, Any] = {
        "training": {
            "interactions": int(trained.nnz),
            "kept_epoch": position.kept_epoch,
            "seconds": initial_seconds + position.seconds,
            "initial_seconds": initial_seconds,
            "loss": position.loss / max(1, trained.nnz),
        },
        "memory": trainer.memory.report(
            model, config.dim or 0, WEIGHTS[method.weights] if config.sparsity > 0 else ""
        ),
        "fold_in": fold_metrics,
        "history": position.history,
    }
    if pruning:
        metrics["pruning"] = {
            "floor": max(pruning, key=lambda tried: pruning[tried]),
            "validation_recall@20 by floor": pruning,
        }
    run = Run(
        config, items, users, split, model.similarity, fold_in, metrics, source, network=model.network()
    )
    return run if config.budget_bytes is None else keep_to_budget(run, matrix)


def measure_test(run: Run) -> dict[str, Any]:
    """Metrics of the test part, if any: ``test`` with learnt users, ``test_folded`` as on a device."""
    found: dict[str, Any] = {}
    if run.split.test is not None and len(run.split.test):
        if run.users is not None:
            found["test"] = evaluate_run(run, users="trained")
        found["test_folded"] = evaluate_run(run, users="folded")
    return found
