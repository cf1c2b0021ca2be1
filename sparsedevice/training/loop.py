"""The loop over epochs and steps: moves of the shape, validation, checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.evaluation.metrics import hits, recall
from sparsedevice.evaluation.ranking import rank, table_queries
from sparsedevice.models.build import resolved_method
from sparsedevice.models.rows import Model, end_period
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.sparse.schedule import step_length
from sparsedevice.training.batches import UserBatches
from sparsedevice.training.best import BestEpoch
from sparsedevice.training.checkpoint import check_same_run, save_checkpoint
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.interrupt import Interruption
from sparsedevice.training.memory import MemoryAccount
from sparsedevice.training.progress import TrainingProgress

VALIDATION_USERS = 3000
CHECKPOINT_SECONDS = 300.0


@dataclass
class Position:
    """Where training is, and what it has seen; stored with a checkpoint as JSON.

    Attributes:
        step: steps done over all epochs.
        loss: summed loss of the epoch so far, in nats.
        history: one entry per look at validation: epoch, loss per positive, recall@20.
        peak: bytes by part at the largest moment.
        seconds: time spent in steps and moves.
        kept_epoch: epochs after which the tables are as they were kept; 0 before training is over.
    """

    step: int = 0
    loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    peak: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    kept_epoch: int = 0


class Trainer:
    """Runs a model over the data to the end of its epochs.

    Attributes:
        model: what is trained.
        position: how far it got.
        memory: the peak of the model's bytes.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        train: scipy.sparse.csr_array,
        validation: scipy.sparse.csr_array | None,
        out: Path,
        source: dict[str, Any],
        *,
        stop_epoch: int | None = None,
        first_pass: dict[str, Any] | None = None,
        prior_bytes: int = 0,
    ) -> None:
        """Prepare.

        Args:
            model: tables in their initial shape.
            config: resolved settings.
            train: csr_array (n_users x n_items).
            validation: csr_array (n_users x n_items), or None.
            out: run folder, where checkpoints go.
            source: what the data is; a checkpoint continues on the same data only.
            stop_epoch: stop after this epoch of the same schedule; at its end where None.
            prior_bytes: what a prior takes, for memory accounting.
            first_pass: what an earlier pass found, stored with checkpoints, in the second pass of a refit.
        """
        assert config.epochs is not None
        assert config.batch_users is not None
        assert config.negatives is not None
        assert config.lr is not None
        self.model = model
        self.position = Position()
        self.memory = MemoryAccount(prior_bytes)
        self._config = config
        self._lr = config.lr
        self._train = train
        self._validation = validation
        self._out = out
        self._source = source
        self._batches = UserBatches(train, config.batch_users, config.negatives, config.seed)
        self._steps = self._batches.steps_per_epoch
        self._total = self._steps * config.epochs
        self._stop = self._steps * (stop_epoch or config.epochs)
        self._best = BestEpoch(out)
        self._first_pass = first_pass
        self._restart = resolved_method(config).retrain if config.sparsity > 0 else 0.0
        self._period = max(1, round(self._steps * config.delta_t))

    def run(self, *, progress: bool) -> None:
        """Train to the end.

        Raises:
            KeyboardInterrupt: after Ctrl-C, with a checkpoint written.
            SystemExit: after SIGTERM, with a checkpoint written.
        """
        position = self.position
        saved = time.monotonic()
        self.memory.look(self.model)
        with (
            Interruption() as interruption,
            TrainingProgress(self._stop, position.step, enabled=progress) as bar,
        ):
            order = np.empty(0, np.int64)
            while position.step < self._stop:
                epoch, step = divmod(position.step, self._steps)
                if step == 0 or not order.size:
                    order = self._batches.order(epoch)
                if step == 0:
                    position.loss = 0.0
                started = time.monotonic()
                self._step(order, epoch, step)
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

    def _step(self, order: np.ndarray[Any, Any], epoch: int, step: int) -> None:
        position = self.position
        progress = position.step / self._total
        lr = step_length(self._lr, progress, self._restart)
        batch = self._batches.batch(order, epoch, step)
        last = (position.step + 1) % self._period == 0
        position.loss += self.model.step(batch, lr, step=position.step, last=last, progress=progress)
        position.step += 1
        if last:
            end_period(self.model, position.step // self._period - 1, position.step / self._total)
            self.memory.look(self.model)

    def _end_epoch(self, epoch: int, bar: TrainingProgress) -> None:
        every, epochs = self._config.validation_every, self._stop // self._steps
        last = epoch + 1 == epochs
        loss = self.position.loss / max(1, self._train.nnz)
        if last:
            self.position.kept_epoch = epochs
        if self._validation is not None and every and ((epoch + 1) % every == 0 or last):
            found = validation_recall(self.model, self._train, self._validation, self._config.seed)
            self.position.history.append(
                {"epoch": epoch + 1, "loss": loss, "recall@20": float(found.mean()) if len(found) else 0.0}
            )
            if last and self._best.restore(self.model, found):
                self.position.kept_epoch = self._best.epoch
            self._best.look(self.model, epoch + 1, found, last=last)
        history = self.position.history
        bar.show(
            epoch=f"{epoch + 1}/{epochs}",
            loss=loss,
            metric=f"recall@20 {history[-1]['recall@20']:.4f}" if history else "",
            active=sum(table.nnz for table in self.model.tables.values()),
        )

    def save(self) -> Path:
        """Write a checkpoint."""
        self.position.peak = self.memory.peak
        return save_checkpoint(
            self._out,
            _tensors(self.model),
            {
                "config": self._config.to_json(),
                "source": self._source,
                "position": vars(self.position),
                "best": self._best.state(),
                "first_pass": self._first_pass,
            },
        )

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Continue from a checkpoint's content.

        Raises:
            RunError: if it was made with other settings or other data.
        """
        check_same_run(self._out, state, self._config.to_json(), self._source)
        self.position = Position(**state["position"])
        self.memory.peak = self.position.peak
        self._best.load_state(state["best"])
        for name, mover in self.model.movers.items():
            mover.load_state(_under(tensors, f"mover.{name}."))
            self.model.tables[name] = mover.table
        for name, table in self.model.tables.items():
            table.load_state(_under(tensors, f"table.{name}."))
        self.model.load_state(_under(tensors, "model."))


def validation_recall(
    model: Model, train: scipy.sparse.csr_array, validation: scipy.sparse.csr_array, seed: int
) -> NDArray[np.float64]:
    """Recall@20 of each of a fixed random choice of at most 3,000 validation users, train items excluded."""
    users = np.flatnonzero(np.diff(validation.indptr) > 0)
    users = np.sort(np.random.default_rng([seed, 4]).permutation(users)[:VALIDATION_USERS])
    items, learnt = model.trained_tables()
    if learnt is None:
        queries = folded_queries(items, model.similarity, model.fold_in() or FoldIn(), train)
    else:
        queries = table_queries(learnt)
    top = rank(queries, items, users, 20, seen=train, network=model.network())
    return recall(hits(top, validation, users), np.diff(validation.indptr)[users])


def _tensors(model: Model) -> dict[str, Tensor]:
    out = {f"model.{key}": tensor for key, tensor in model.state().items()}
    for name, table in model.tables.items():
        out |= {f"table.{name}.{key}": tensor for key, tensor in table.state().items()}
    for name, mover in model.movers.items():
        out |= {f"mover.{name}.{key}": tensor for key, tensor in mover.state().items()}
    return out


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
