"""Every setting of training on a click log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from sparsedevice.errors import ConfigError

CLICK_MODELS = ("dlrm",)
AMGP = "amgp"
_CHOICES: dict[str, tuple[str, ...]] = {
    "model": CLICK_MODELS,
    "fan_in": ("fixed", "global"),
    "finish": ("full", "pruned"),
}
_WHOLE = {"dim": 1, "epochs": 1, "batch_rows": 1, "cycles": 1, "validation_every": 0, "seed": 0}


@dataclass(frozen=True)
class ClickConfig:
    """Settings of a run on a click log; None means "by rule" until ``resolve`` has filled it in.

    Attributes:
        model: what is learnt.
        method: a preset of dynamic sparse training for the embedding table, or "amgp": dense matrices, whose
            columns and neurons are pruned and grown alternately.
        sparsity: share of zero entries of the table, of units that go in "amgp"; 0 trains everything dense.
        tower_sparsity: share of the towers' neurons that go alternately beside a sparse table; not with
            "amgp", which has one share for all.
        finish: "full" grows everything back at the end, for the next refresh; "pruned" ends small.
        cycles: pruned phases.
        full_share: share of training in full phases.
        dim: width of the embeddings.
        bottom: widths of the hidden layers of the bottom MLP, which reads the numbers.
        top: widths of the hidden layers of the top MLP, which reads the interactions.
        fan_in: "fixed" entries per row of the table, or one "global" budget with a floor of one a row.
        epochs: passes over the training rows.
        batch_rows: rows a step.
        lr: length of the first steps of an embedding row; decays to 0 along a cosine.
        tower_lr: Adam's rate for the towers; decays likewise.
        l2: weight of half the squared length of each embedding row that an example reads, in its loss.
        initial: part of the method to replace: "nmf", "random" or "popularity".
        grow: part of the method to replace: "accumulated", "last-batch", "random" or "none".
        watched_share: part of the method to replace.
        rho0: part of the method to replace.
        rho_end: part of the method to replace.
        widen: part of the method to replace.
        delta_t: epochs between two moves of the shape.
        validation_every: epochs between two looks at the validation cut; 0 never looks.
        seed: of everything random.
        threads: CPU threads; None takes all cores.
        device: torch device.

    Raises:
        ConfigError: if a value is outside its range.
    """

    model: str = "dlrm"
    method: str = "sparserec"
    sparsity: float = 0.9
    tower_sparsity: float = 0.0
    finish: Literal["full", "pruned"] = "pruned"
    cycles: int = 2
    full_share: float = 0.4
    dim: int | None = None
    bottom: tuple[int, ...] = (64,)
    top: tuple[int, ...] = (128, 64)
    fan_in: str = "fixed"
    epochs: int | None = None
    batch_rows: int = 1024
    lr: float = 0.02
    tower_lr: float = 1e-3
    l2: float = 0.0
    initial: str | None = None
    grow: str | None = None
    watched_share: float | None = None
    rho0: float | None = None
    rho_end: float | None = None
    widen: float | None = None
    delta_t: float = 0.25
    validation_every: int = 1
    seed: int = 0
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is unknown for click logs; "
                    f"choose one of {', '.join(choices)}"
                )
        for name in ("bottom", "top"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            for width in getattr(self, name):
                _check_whole(name, width, 1)
        for name, least in _WHOLE.items():
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), least)
        if self.threads is not None:
            _check_whole("threads", self.threads, 1)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("sparsity", "tower_sparsity"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"{name} {value!r} is outside 0 (dense) to below 1; choose for example 0.5")
        for name in ("lr", "tower_lr", "delta_t"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} {getattr(self, name)!r} is not a positive number")
        if not 0 <= self.l2 < float("inf"):
            raise ConfigError(f"l2 {self.l2!r} is not a number of at least 0")
        if not 0 < self.full_share < 1:
            raise ConfigError(f"full_share {self.full_share!r} is not above 0 and below 1")
        if self.method == AMGP and self.tower_sparsity:
            raise ConfigError(
                "tower_sparsity goes with a sparse table; with method 'amgp' give sparsity alone"
            )

    @property
    def unit_sparsity(self) -> float:
        """Share of units that go in pruned phases; 0 where the model never shrinks."""
        return self.sparsity if self.method == AMGP else self.tower_sparsity

    @property
    def table_sparsity(self) -> float:
        """Share of zero entries of the embedding table; 0 where it is dense."""
        return 0.0 if self.method == AMGP else self.sparsity

    def resolve(self, n_train: int) -> ClickConfig:
        """Fill in what was left to rules, functions of the number of training rows."""
        return replace(
            self,
            dim=self.dim if self.dim is not None else 16 if self.table_sparsity == 0 else 64,
            epochs=self.epochs if self.epochs is not None else max(4, min(20, 2_000_000 // max(1, n_train))),
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClickConfig:
        """The settings from the object that ``to_json`` made.

        Raises:
            ConfigError: if a setting is unknown or outside its range.
        """
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ConfigError(
                f"unknown setting {unknown[0]!r} of training on clicks; the settings are: {', '.join(names)}"
            )
        return cls(**value)


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} {value!r} is not a whole number of at least {least}")
