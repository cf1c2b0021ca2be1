"""Training on a click log: from a source to a run folder, the loop between, resumable anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from sparsedevice.click_run import ClickRun
from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.clicks import ClickSplit
from sparsedevice.data.load_clicks import load_clicks
from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.clicks import click_metrics, evaluate_clicks
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.training.build_clicks import ClickModel, build_click_model
from sparsedevice.training.checkpoint import check_same_run, load_checkpoint, save_checkpoint
from sparsedevice.training.click_config import ClickConfig
from sparsedevice.training.interrupt import Interruption
from sparsedevice.training.optimizer import update_rows
from sparsedevice.training.progress import TrainingProgress

CHECKPOINT_SECONDS = 300.0


@dataclass
class Position:
    """Where training is, and what it has seen; stored with a checkpoint as JSON.

    Attributes:
        step: steps done over all epochs.
        loss: summed loss of the epoch so far, in nats.
        macs: multiply-accumulate operations so far.
        full_macs: what the full-size model would have taken for the same rows.
        history: one entry per look at validation: epoch, loss, auc, log_loss.
        peak: bytes by part at the largest moment.
        seconds: time spent in steps and moves.
    """

    step: int = 0
    loss: float = 0.0
    macs: int = 0
    full_macs: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    peak: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def train_clicks(
    data: str | Path | ClickSplit,
    out: str | Path = "run",
    *,
    resume: bool = False,
    options: ClickOptions | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> ClickRun:
    """Turn a click log into a run folder with a trained model.

    Args:
        data: a click log, a folder, or a split that is in memory.
        out: run folder to write; an existing run there is replaced.
        resume: continue from the checkpoint that an interrupted training left in ``out``.
        options: how ``data`` is read and split.
        settings: fields of ``ClickConfig`` by name.
        progress: show a progress bar where standard error is a terminal.

    Raises:
        DataError: if the log cannot be read or split.
        ConfigError: if a setting is outside its range.
        RunError: if there is nothing to resume, or the checkpoint was made with other settings or data.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written into ``out``.
    """
    out = Path(out)
    config = ClickConfig.from_json(settings or {})
    options = options or ClickOptions(seed=config.seed)
    checkpoint = load_checkpoint(out) if resume else None
    split = data if isinstance(data, ClickSplit) else load_clicks(data, options)
    if not split.schema.categories:
        raise ConfigError("the log has no categorical column, and embeddings are what is learnt; name one")
    config = replace(config.resolve(len(split.train)), threads=config.threads or torch.get_num_threads())
    source = {
        "data": "split in memory" if isinstance(data, ClickSplit) else str(data),
        "options": options.to_json(),
        "split": split.rule,
        "fingerprint": split.fingerprint(),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        run = fit_clicks(split, config, out=out, source=source, checkpoint=checkpoint, progress=progress)
        if run.test is not None:
            run.metrics["test"] = evaluate_clicks(run)
    finally:
        torch.set_num_threads(before)
    run.save(out)
    return run


def fit_clicks(
    split: ClickSplit,
    config: ClickConfig,
    *,
    out: Path,
    source: dict[str, Any],
    checkpoint: tuple[dict[str, Tensor], dict[str, Any]] | None = None,
    progress: bool = False,
) -> ClickRun:
    """Train on a split with resolved settings; the test part is not looked at."""
    started = time.monotonic()
    model = build_click_model(config, split)
    initial_seconds = time.monotonic() - started
    trainer = ClickTrainer(model, config, split, out, source)
    if checkpoint is not None:
        trainer.restore(*checkpoint)
    trainer.run(progress=progress)
    position, dlrm = trainer.position, model.dlrm
    table: Any = dlrm.table.to_csr()
    if isinstance(dlrm.table, DenseTable):
        table = dlrm.table.values.view(dlrm.table.n_rows, -1).cpu().numpy()
    towers = {name: value.detach().cpu().numpy() for name, value in dlrm.parameters.values.items()}
    peak = sum(position.peak.values())
    metrics = {
        "training": {
            "seconds": initial_seconds + position.seconds,
            "initial_seconds": initial_seconds,
            "macs": position.macs,
            "share_of_full_macs": position.macs / max(1, position.full_macs),
        },
        "inference": {"macs": dlrm.macs().inference, **trainer.inference_bytes()},
        "memory": {
            "peak_bytes": peak,
            "dense_bytes": trainer.dense_bytes,
            "share_of_dense": peak / trainer.dense_bytes,
            "parts": dict(position.peak),
        },
        "history": position.history,
    }
    return ClickRun(config, split.schema, table, towers, split.validation, split.test, metrics, source)


class ClickTrainer:
    """Runs a model over the rows to the end of its epochs.

    Attributes:
        position: how far it got.
        dense_bytes: of the full-size model dense, with Adam's two moments.
    """

    def __init__(
        self, model: ClickModel, config: ClickConfig, split: ClickSplit, out: Path, source: dict[str, Any]
    ) -> None:
        """Prepare; ``model`` is full-size and ``config`` resolved."""
        assert config.epochs is not None
        self.position = Position()
        self._model = model
        self._config = config
        self._split = split
        self._out = out
        self._source = source
        self._steps = -(-len(split.train) // config.batch_rows)
        self._total = self._steps * config.epochs
        self._period = max(1, round(self._steps * config.delta_t))
        self._label = torch.from_numpy(split.train.label)
        dlrm = model.dlrm
        self._full_macs = dlrm.macs().training
        n_values = sum(value.numel() for value in dlrm.parameters.values.values())
        self.dense_bytes = 12 * (dlrm.table.n_rows * dlrm.table.dim + n_values)

    def run(self, *, progress: bool) -> None:
        """Train to the end.

        Raises:
            KeyboardInterrupt: after Ctrl-C, with a checkpoint written.
            SystemExit: after SIGTERM, with a checkpoint written.
        """
        position = self.position
        saved = time.monotonic()
        self._look()
        with (
            Interruption() as interruption,
            TrainingProgress(self._total, position.step, enabled=progress) as bar,
        ):
            order: Tensor | None = None
            while position.step < self._total:
                epoch, step = divmod(position.step, self._steps)
                if step == 0 or order is None:
                    order = self._order(epoch)
                if step == 0:
                    position.loss = 0.0
                started = time.monotonic()
                size = self._config.batch_rows
                self._step(order[step * size : (step + 1) * size])
                position.seconds += time.monotonic() - started
                bar.step()
                if step == self._steps - 1:
                    self._end_epoch(epoch, bar)
                if interruption.signal_number is not None:
                    self.save()
                    interruption.reraise()
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = time.monotonic()

    def _order(self, epoch: int) -> Tensor:
        generator = np.random.default_rng([self._config.seed, 1, epoch])
        return torch.from_numpy(generator.permutation(len(self._split.train)))

    def _step(self, examples: Tensor) -> None:
        position, config, model = self.position, self._config, self._model
        dlrm, table, parameters = model.dlrm, model.dlrm.table, model.dlrm.parameters
        progress = position.step / self._total
        decay = 0.5 * (1 + math.cos(math.pi * progress))
        last = (position.step + 1) % self._period == 0
        bags = dlrm.bags(self._split.train, examples)
        watching = model.mover is not None and model.mover.start_step(bags.rows, last=last, progress=progress)
        active = table.active(bags.rows)
        block = table.expand(active).requires_grad_()
        values = {name: value.detach().requires_grad_() for name, value in parameters.values.items()}
        numbers = torch.from_numpy(self._split.train.numbers)[examples].to(table.device)
        label = self._label[examples].float().to(table.device)
        loss = binary_cross_entropy_with_logits(dlrm.logits(block, bags, numbers, values), label)
        block_gradient, *rest = torch.autograd.grad(loss, [block, *values.values()])
        gradients = dict(zip(values, rest, strict=True))
        block = block.detach()
        if model.units is not None:
            model.units.observe(gradients, block, block_gradient)
        if config.l2:
            weight = config.l2 / len(examples) * bags.occurrences.float()
            block_gradient = block_gradient + weight[:, None] * block
        if model.mover is not None and watching:
            model.mover.observe(bags.rows, block_gradient)
        update_rows(table, active, block_gradient, config.lr * decay, unit_rows=False)
        parameters.step(gradients, config.tower_lr * decay)
        position.loss += float(loss.detach()) * len(examples)
        position.macs += dlrm.macs().training * len(examples)
        position.full_macs += self._full_macs * len(examples)
        position.step += 1
        self._move(last)

    def _move(self, last: bool) -> None:
        position, model = self.position, self._model
        progress = position.step / self._total
        changed = model.units is not None and model.units.move(progress)
        if last and model.mover is not None:
            model.mover.end_period(position.step // self._period - 1, progress)
            changed = True
        if changed:
            self._look()

    def _look(self) -> None:
        """Count the bytes of everything that training holds for the model."""
        now = {name: sum(t.numel() * t.element_size() for t in part.values()) for name, part in self._parts()}
        if sum(now.values()) > sum(self.position.peak.values()):
            self.position.peak = now

    def _parts(self) -> list[tuple[str, dict[str, Tensor]]]:
        model = self._model
        parts = [("table", model.dlrm.table.state()), ("towers", model.dlrm.parameters.state())]
        if model.mover is not None:
            parts.append(("mover", model.mover.state()))
        if model.units is not None:
            parts.append(("units", model.units.state()))
        return parts

    def inference_bytes(self) -> dict[str, int]:
        """Bytes that scoring needs: float32 values, and a sparse table's columns and row starts."""
        state = self._model.dlrm.table.state()
        needed = [state[name] for name in ("values", "columns", "row_start") if name in state]
        return {
            "table_bytes": sum(tensor.numel() * tensor.element_size() for tensor in needed),
            "tower_bytes": sum(4 * value.numel() for value in self._model.dlrm.parameters.values.values()),
        }

    def _end_epoch(self, epoch: int, bar: TrainingProgress) -> None:
        every, epochs = self._config.validation_every, self._config.epochs
        loss = self.position.loss / len(self._split.train)
        validation, dlrm = self._split.validation, self._model.dlrm
        if validation is not None and every and ((epoch + 1) % every == 0 or epoch + 1 == epochs):
            found = click_metrics(validation.label, dlrm.score(validation).numpy())
            self.position.history.append(
                {"epoch": epoch + 1, "loss": loss, "auc": found["auc"], "log_loss": found["log_loss"]}
            )
        history = self.position.history
        bar.show(
            epoch=f"{epoch + 1}/{epochs}",
            loss=loss,
            metric=f"auc {history[-1]['auc']:.4f}" if history else "",
            active=dlrm.table.nnz,
        )

    def save(self) -> Path:
        """Write a checkpoint."""
        tensors = {
            f"{part}.{name}": tensor for part, state in self._parts() for name, tensor in state.items()
        }
        state = {
            "config": self._config.to_json(),
            "source": self._source,
            "position": vars(self.position),
            "tower_steps": self._model.dlrm.parameters.steps,
        }
        return save_checkpoint(self._out, tensors, state)

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Continue from a checkpoint's content.

        Raises:
            RunError: if it was made with other settings or other data.
        """
        check_same_run(self._out, state, self._config.to_json(), self._source)
        self.position = Position(**state["position"])
        self._model.load_state(tensors, int(state["tower_steps"]))
