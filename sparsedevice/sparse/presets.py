"""Named methods: each is a choice of independent parts. This table drives validation, help and docs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from sparsedevice.errors import ConfigError

INITIAL = ("nmf", "random", "popularity")
GROW = ("accumulated", "last-batch", "random", "none")
# What a method stores in training, and what that takes of a dense model's memory beside the active entries.
WEIGHTS = {
    "sparse": "",
    "dense": "dense tables and their moments, pruned after training",
    "feedback": "dense tables, their moments and a mask, all the time",
    "thresholds": "dense tables and their moments until the shape is found",
    "columns": "dense tables and their moments in full phases",
}
THRESHOLDS = ("row", "column", "global")


@dataclass(frozen=True)
class Method:
    """The parts of a method of dynamic sparse training.

    Attributes:
        paper: where it was published, and what of it is ours.
        initial: shape at the start: "nmf", "random", or "popularity" (random columns, entries by popularity;
            needs the global budget).
        grow: what chooses the entries to activate: "accumulated" gradients of the watched rows, gradients of
            the "last-batch", "random", or "none" (the shape stays).
        watched_share: share of rows whose inactive entries get gradients between two updates; 1 watches all.
        rho0: share of a row's entries that the first update swaps.
        rho_end: fraction of training after which the shape rests.
        regret: dropped entries may be grown back in the same update.
        explore: above 0, every step cuts its rows back to their largest entries, and inactive entries take
            part with this weight on their gradient; 0 leaves the shape alone between two updates.
        widen: fan-in at the start over the final one; above 1 the fan-in is annealed.
        decay: of the swapped share: "cosine", or "constant" until ``rho_end``.
        blocks: above 1, the columns are cut into so many blocks, and each row has equally many entries in
            each of them.
        weights: what training stores: "sparse" entries alone, or more than ends up active, which takes a
            dense model's memory: "dense" tables that are pruned after training, dense shadows ("feedback",
            "thresholds"), or dense tables that lose whole "columns" and get them back.
        power: above 1, entries are w = θ|θ|^(power - 1) and θ is what takes steps (Powerpropagation).
        thresholds: what shares a threshold, where ``weights`` is "thresholds": "row", "column" or "global".
        retrain: fraction of training after which the found shape is trained from its initial values; 0
            never.
        backward_share: share of the terms that the gradients' matrix products are estimated from; 1 takes
            all.
    """

    paper: str
    initial: str = "random"
    grow: str = "none"
    watched_share: float = 0.1
    rho0: float = 0.3
    rho_end: float = 0.75
    regret: bool = False
    explore: float = 0.0
    widen: float = 1.0
    decay: str = "cosine"
    blocks: int = 1
    weights: str = "sparse"
    power: float = 1.0
    thresholds: str = "row"
    retrain: float = 0.0
    backward_share: float = 1.0

    def with_parts(self, **parts: Any) -> Method:
        """The method with some parts replaced; None keeps a part.

        Raises:
            ConfigError: if a part is unknown or outside its range.
        """
        method = replace(self, **{name: value for name, value in parts.items() if value is not None})
        for name, value, choices in (
            ("initial", method.initial, INITIAL),
            ("grow", method.grow, GROW),
            ("thresholds", method.thresholds, THRESHOLDS),
        ):
            if value not in choices:
                raise ConfigError(f"{name} {value!r} is unknown; choose one of {', '.join(choices)}")
        for name, low, high in (
            ("watched_share", 0, 1),
            ("rho0", 0, 1),
            ("rho_end", 0, 1),
            ("explore", 0, 1),
            ("widen", 1, 64),
            ("power", 1, 8),
            ("blocks", 1, 64),
            ("backward_share", 0, 1),
            ("retrain", 0, 1),
        ):
            number = getattr(method, name)
            positive = name in ("watched_share", "backward_share")
            if not low <= number <= high or (positive and number == 0):
                raise ConfigError(f"{name} {number} is outside {low} to {high}")
        return method

    def to_json(self) -> dict[str, Any]:
        """The parts by name."""
        return asdict(self)


METHODS: dict[str, Method] = {
    "sparserec": Method(
        "SparseRec (arXiv 2411.12205): NMF shape, accumulated gradients, sampled rows; details are ours",
        initial="nmf",
        grow="accumulated",
        explore=0.3,
    ),
    "dsl": Method(
        "DSL (arXiv 2402.02855): random shape, magnitude drop, last-batch gradient growth with regret",
        grow="last-batch",
        rho0=0.5,
        rho_end=1.0,
        regret=True,
    ),
    "rigl": Method("RigL (arXiv 1911.11134): random shape, last-batch gradient growth", grow="last-batch"),
    "set": Method("SET (Mocanu et al. 2018): random shape, random growth", grow="random"),
    "static": Method("A random shape that never moves"),
    "static-popularity": Method(
        "A random shape that never moves, entries by popularity (global budget)", initial="popularity"
    ),
    "static-nmf": Method("The NMF shape, never moved", initial="nmf"),
    "projected": Method(
        "Projection alone (iterative hard thresholding): NMF shape, no periodic updates; ours",
        initial="nmf",
        explore=0.3,
    ),
    "magnitude": Method(
        "Magnitude pruning after training with a per-row floor (Tran et al., arXiv 2406.17335), trains dense",
        weights="dense",
    ),
    "annealed": Method(
        "Annealed fan-in (Compressed ELSA, arXiv 2602.09935): over-complete start, exponential to the budget",
        widen=2.0,
    ),
    "pep": Method(
        "PEP (arXiv 2101.07577): learnt soft thresholds, then retrained from initial values; searches dense",
        weights="thresholds",
        retrain=0.5,
    ),
    "dpf": Method(
        "DPF (arXiv 2006.07253): a dense shadow learns from the gradient at its pruned weights; trains dense",
        weights="feedback",
        rho_end=0.75,
    ),
    "powerprop": Method(
        "Powerpropagation (arXiv 2110.00296): w = θ|θ|^(power - 1), then magnitude pruning; trains dense",
        weights="dense",
        power=1.5,
    ),
    "amgp": Method(
        "AMGP (arXiv 2105.01064): columns of all tables go and come back by turns; full phases are dense",
        weights="columns",
    ),
    "wta-crs": Method(
        "SparseRec's parts, gradients estimated from half of their terms by WTA-CRS (arXiv 2305.15265)",
        initial="nmf",
        grow="accumulated",
        explore=0.3,
        backward_share=0.5,
    ),
    "fixed-fan-in": Method(
        "Fixed fan-in (arXiv 2411.03171): random regrowth of 15 % of each row up to 66 % of training",
        grow="random",
        rho0=0.15,
        rho_end=0.66,
        decay="constant",
    ),
    "blocks": Method(
        "SparseRec's parts with equally many entries in each quarter of a row's columns (N:M); ours",
        initial="nmf",
        grow="accumulated",
        explore=0.3,
        blocks=4,
    ),
}


def method_named(name: str) -> Method:
    """The preset of that name.

    Raises:
        ConfigError: if there is none.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise ConfigError(f"method {name!r} is unknown; choose one of {', '.join(METHODS)}") from None
