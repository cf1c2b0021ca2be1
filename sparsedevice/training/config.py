"""Every setting of a training run: what was asked for, and what the rules made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from sparsedevice.errors import ConfigError
from sparsedevice.sparse.presets import METHODS

Value = TypeVar("Value")
MODELS = ("mf", "lightgcn", "neumf", "elsa", "pooled", "multvae")
# Models without user rows: the user is her history.
HISTORY_MODELS = ("elsa", "pooled", "multvae")
SPARSE = ("both", "items")
# Rows that are both outputs and parts of the query move twice.
LEARNING_RATE = {"mf": 1.0, "neumf": 1.0, "lightgcn": 0.3, "elsa": 0.3, "pooled": 0.3, "multvae": 0.3}
# A step of LightGCN costs the whole graph whatever its batch.
BATCH_USERS = {"lightgcn": 1024}
# Width of the hidden layers; 0 for none.
HIDDEN = {"multvae": 0, "neumf": 16}
HIDDEN_MODELS = tuple(HIDDEN)
LAYERS = 3
TEACHER_WEIGHT = 0.5
FAN_IN = ("fixed", "global")
BUDGET_FOR = ("packed", "compact")
VALUES = (None, "f32", "f16", "int8", "int4")
PRECISION = (None, "float32", "bfloat16")
FINISH = ("full", "pruned")
FOLD_IN = ("auto", "sum", "matrix", "ridge", "steps")
LOSSES = (None, "softmax", "bsl", "bpr", "ccl")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; None means "by rule" until ``resolve`` has filled it in.

    Attributes:
        model: what is learnt: "mf", "lightgcn" or "neumf" (users and items); "pooled", "elsa" or "multvae"
            (items alone; a user is the sum of her history's rows).
        method: named preset of dynamic sparse training.
        sparsity: share of zero entries; 0 trains dense tables.
        sparse: "both" tables sparse, or "items" only (users stay dense in training and are not meant to be
            shipped).
        dim: width of the tables.
        fan_in: "fixed" entries per row, or one "global" budget per table with a floor of one entry per row.
        epochs: passes over the training users.
        batch_users: users per step; all their positives are in the step.
        negatives: uniform negative items per step, shared by its users (the positives of the others serve as
            well).
        lr: length of the first steps on the unit sphere; decays to 0 along a cosine. By rule 1 for "mf", 0.3
            for the others.
        history_power: of "pooled": an item with count c weighs c^-power in a history.
        layers: of "lightgcn": how far rows are propagated.
        hidden: width of the hidden layers, at most ``dim``: of "multvae" 0 leaves them out, of
            "neumf" it is the first layer's, the second has half of it.
        teacher: run folder that "mf", "pooled" or "elsa" learn from.
        teacher_weight: share of its soft labels in the loss, above 0 to 1.
        loss: of all but "elsa": "softmax" over the sampled catalogue, "bsl" (bilateral softmax), "bpr"
            (pairs) or "ccl" (cosine contrastive). "elsa" has its own. By rule "softmax", and "bsl" for "mf"
            where users share few items.
        temperature: tau, in units of the cosine; not read by "ccl".
        temperature2: of "bsl", its ratio tau1 / tau2. By rule 1.25 where "bsl" is the rule, else 1.1.
        margin: of "ccl"; negatives that score lower cost nothing.
        negative_weight: of "ccl"; weight of the negatives against the positive.
        initial: part of the method to replace: "nmf", "random" or "popularity".
        grow: part of the method to replace: "accumulated", "last-batch", "random" or "none".
        watched_share: part of the method to replace.
        rho0: part of the method to replace.
        rho_end: part of the method to replace.
        explore: part of the method to replace.
        widen: part of the method to replace.
        power: part of the method to replace.
        thresholds: part of the method to replace.
        retrain: part of the method to replace.
        backward_share: part of the method to replace.
        blocks: part of the method to replace.
        finish: of method "amgp": "full" ends with all columns, for the next refresh; "pruned" ends small.
        cycles: of method "amgp": pruned phases.
        full_share: of method "amgp": share of training in full phases.
        delta_t: epochs between two moves of the shape.
        validation_every: epochs between two looks at the validation cut; 0 never looks.
        refit: once the run has chosen its epoch and fold-in rule on validation, train again with these on
            train and validation together, and keep that model.
        prior: weight of what an earlier run learnt, in a refresh; 0 without a prior.
        budget_bytes: bytes that the run's packed file may have; width, fan-in and coding of values follow
            from it (``sparsity`` is then not looked at). None: no budget.
        budget_for: which file the budget is for, "packed" or its "compact" coding.
        budget_vocabulary: whether ids and titles count.
        budget_users: whether the file ships user rows and what users have seen.
        values: coding of values that ``export`` takes where none is named.
        fold_matrix: whether the fold-in rule may have a matrix, 4 dim² bytes.
        fold_in: how a device turns a history into a user: "sum" of its rows, the sum times a "matrix",
            "ridge" regression on the history, or gradient "steps" of the loss; "auto" chooses on validation.
        seed: of everything random.
        threads: CPU threads; None takes all cores.
        device: torch device.
        precision: of the matrix products, "float32" or "bfloat16"; None takes bfloat16 where the processor
            has instructions for it. Tables and optimiser are float32 always.

    Raises:
        ConfigError: if a value is outside its range.
    """

    model: str = "mf"
    method: str = "sparserec"
    sparsity: float = 0.9
    sparse: str = "both"
    dim: int | None = None
    fan_in: str = "fixed"
    epochs: int | None = None
    batch_users: int | None = None
    negatives: int | None = None
    lr: float | None = None
    history_power: float | None = None
    layers: int | None = None
    hidden: int | None = None
    teacher: str | None = None
    teacher_weight: float | None = None
    loss: str | None = None
    temperature: float | None = None
    temperature2: float | None = None
    margin: float | None = None
    negative_weight: float | None = None
    initial: str | None = None
    grow: str | None = None
    watched_share: float | None = None
    rho0: float | None = None
    rho_end: float | None = None
    explore: float | None = None
    widen: float | None = None
    power: float | None = None
    thresholds: str | None = None
    retrain: float | None = None
    backward_share: float | None = None
    blocks: int | None = None
    finish: str = "pruned"
    cycles: int = 2
    full_share: float = 0.4
    delta_t: float = 1.0
    validation_every: int = 5
    refit: bool = False
    prior: float = 0.0
    budget_bytes: int | None = None
    budget_for: str = "packed"
    budget_vocabulary: bool = True
    budget_users: bool = False
    values: str | None = None
    fold_matrix: bool = True
    fold_in: str = "auto"
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"
    precision: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("model", MODELS),
            ("sparse", SPARSE),
            ("fan_in", FAN_IN),
            ("precision", PRECISION),
            ("budget_for", BUDGET_FOR),
            ("values", VALUES),
            ("loss", LOSSES),
            ("finish", FINISH),
            ("fold_in", FOLD_IN),
        ):
            if getattr(self, name) not in choices:
                known = ", ".join(filter(None, choices))
                raise ConfigError(f"{name} {getattr(self, name)!r} is unknown; choose one of {known}")
        if not 0 <= self.sparsity < 1:
            raise ConfigError(
                f"sparsity {self.sparsity} is outside 0 (dense) to below 1; choose for example 0.9"
            )
        for name in ("dim", "epochs", "batch_users", "threads", "layers", "blocks", "cycles", "budget_bytes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigError(f"{name} {value!r} is not a whole number of at least 1")
        for name in ("negatives", "validation_every", "seed", "hidden"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ConfigError(f"{name} {value!r} is not a whole number of at least 0")
        _check_flags(self, ("refit", "budget_vocabulary", "budget_users", "fold_matrix"))
        for name in ("lr", "temperature", "temperature2", "negative_weight", "delta_t"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} {value!r} is not a positive number")
        self._check_model()

    def _check_model(self) -> None:
        if self.teacher_weight is not None and (self.teacher is None or not 0 < self.teacher_weight <= 1):
            raise ConfigError(f"teacher_weight {self.teacher_weight!r} needs a teacher, and is above 0 to 1")
        if self.teacher is not None and self.model in ("lightgcn", "multvae", "neumf"):
            raise ConfigError(f"model {self.model!r} learns from no teacher; choose mf, pooled or elsa")
        if self.model in ("pooled", "multvae") and self.fold_in != "auto":
            raise ConfigError(
                f"model {self.model!r} is trained with its own fold-in rule; leave out fold_in"
                f" {self.fold_in!r}"
            )
        if self.hidden is not None and self.model not in HIDDEN_MODELS:
            raise ConfigError(
                f"model {self.model!r} has no hidden layers; leave out hidden {self.hidden}, or choose"
                f" {' or '.join(HIDDEN_MODELS)}"
            )
        if self.history_power is not None and not 0 <= self.history_power <= 1:
            raise ConfigError(
                f"history_power {self.history_power!r} is outside 0 to 1; choose for example 0.5"
            )
        if not 0 < self.full_share < 1:
            raise ConfigError(f"full_share {self.full_share!r} is not above 0 and below 1")
        if self.margin is not None and not -1 < self.margin < 1:
            raise ConfigError(f"margin {self.margin!r} is not between -1 and 1, as cosines are")
        self._check_loss()

    def _check_loss(self) -> None:
        if self.model == "neumf" and (self.hidden == 0 or self.dim == 1):
            raise ConfigError("model 'neumf' needs two columns and a hidden layer of a unit at least")
        for name, loss in (("temperature2", "bsl"), ("margin", "ccl"), ("negative_weight", "ccl")):
            if getattr(self, name) is not None and self.loss != loss:
                chosen = "left to the rule" if self.loss is None else repr(self.loss)
                raise ConfigError(f"{name} belongs to loss {loss!r}; the loss is {chosen}")
        if self.model == "elsa" and self.loss not in (None, "softmax"):
            raise ConfigError(f"model 'elsa' has a loss of its own; leave out loss {self.loss!r}")

    def resolve(self, n_users: int, n_items: int, n_interactions: int) -> TrainConfig:
        """Fill in what was left to rules: functions of the data's size, found by measurement."""
        epochs = self.epochs if self.epochs is not None else default_epochs(n_interactions)
        dim = self.dim if self.dim is not None else default_dim(n_items)
        hidden = _default(self.hidden, HIDDEN.get(self.model))
        if hidden is not None and hidden > dim:
            raise ConfigError(
                f"hidden layers of {hidden} units are wider than the table's {dim} columns; choose a hidden"
                f" width of at most {dim}, or a larger dim"
            )
        # Few shared items: measured with matrix factorisation alone, and without a teacher.
        bilateral = self.model == "mf" and self.loss is None and self.teacher is None
        bilateral = bilateral and not _is_dense(n_users, n_items, n_interactions)
        loss = self.loss or ("bsl" if bilateral else "softmax")
        batch_users = 1024 if bilateral else BATCH_USERS.get(self.model, 256)
        temperature = default_temperature(self.model, n_users, n_items, n_interactions)
        method = METHODS.get(self.method)
        if bilateral and self.sparsity > 0 and method is not None and method.weights == "sparse":
            temperature *= sparse_temperature((1 - self.sparsity) * dim)
        return replace(
            self,
            dim=dim,
            epochs=epochs,
            loss=loss,
            batch_users=_default(self.batch_users, max(1, min(batch_users, n_users // 8))),
            layers=_default(self.layers, LAYERS if self.model == "lightgcn" else None),
            hidden=hidden,
            negatives=self.negatives if self.negatives is not None else min(2048, n_items),
            lr=self.lr if self.lr is not None else LEARNING_RATE[self.model],
            history_power=self.history_power
            if self.history_power is not None
            else default_history_power(n_users, n_items, n_interactions),
            temperature=_default(self.temperature, temperature),
            teacher_weight=_default(self.teacher_weight, None if self.teacher is None else TEACHER_WEIGHT),
            temperature2=_default(self.temperature2, (1.25 if bilateral else 1.1) if loss == "bsl" else None),
            margin=_default(self.margin, 0.4 if loss == "ccl" else None),
            negative_weight=_default(self.negative_weight, 20.0 if loss == "ccl" else None),
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainConfig:
        """The settings from the object that ``to_json`` made.

        Raises:
            ConfigError: if a setting is unknown or outside its range.
        """
        unknown = sorted(set(value) - {field.name for field in fields(cls)})
        if unknown:
            names = ", ".join(field.name for field in fields(cls))
            raise ConfigError(f"unknown training setting {unknown[0]!r}; the settings are: {names}")
        return cls(**value)


def _default(value: Value | None, default: Value | None) -> Value | None:
    return default if value is None else value


def _check_flags(config: TrainConfig, names: tuple[str, ...]) -> None:
    if not 0 <= config.prior < float("inf"):
        raise ConfigError(f"prior {config.prior!r} is not a number of at least 0")
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise ConfigError(f"{name} {getattr(config, name)!r} is not true or false")


def default_dim(n_items: int) -> int:
    """Wide tables with few entries a row: 128 columns, 256 for catalogues of more than ten thousand items."""
    return 128 if n_items <= 10_000 else 256


def default_epochs(n_interactions: int) -> int:
    """Passes over 40 million interactions in all, between 20 and 200."""
    return int(max(20, min(200, 40_000_000 / max(n_interactions, 1))))


def default_temperature(model: str, n_users: int, n_items: int, n_interactions: int) -> float:
    """For learnt users a higher temperature where they share many items: 0.15 at a density of 4 %.

    A user who is her history has no row to fit, and a lower temperature suits her.
    """
    if model in ("pooled", "multvae"):
        return 0.09
    return 0.15 if _is_dense(n_users, n_items, n_interactions) else 0.1


def sparse_temperature(active: float) -> float:
    """What rows of few active entries multiply the temperature by: 1.6 at 6, 1.3 at 12, 1.15 at 25.

    Two of them share few columns, so their cosines are small, and a low temperature would see nothing but the
    few items that share the most. Measured on Gowalla; where users share many items 0.15 is already enough.
    """
    return 1 + 3.6 / max(active, 1.0)


def default_history_power(n_users: int, n_items: int, n_interactions: int) -> float:
    """Long histories of items that many share count each item once; in short ones a rare item tells more."""
    return 0.0 if _is_dense(n_users, n_items, n_interactions) else 0.5


def _is_dense(n_users: int, n_items: int, n_interactions: int) -> bool:
    return n_interactions / max(1, n_users * n_items) > 0.01
