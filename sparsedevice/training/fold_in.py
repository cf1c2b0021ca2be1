"""Choosing how a history becomes a query: the rule that ranks the validation cut best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError
from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.evaluation.metrics import hits, recall
from sparsedevice.evaluation.ranking import rank
from sparsedevice.packing.fold_in import COMB_ROWS, MAX_SHARPNESS, FoldIn, Ridge, Steps
from sparsedevice.packing.pair_network import PairNetwork

USERS = 3000
ROWS_PER_BLOCK = 1024
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Ridge of the regression that fits the matrix, relative to the mean eigenvalue.
MATRIX_RIDGES = (0.03, 0.3)
PENALTIES = (1.0, 10.0, 100.0)
ITERATIONS = 8
#: Steps and rows in a step's sample: the cheaper one first.
STEPS = ((4, 256), (8, 512), (16, 2048))
#: Items from which on, unmeasured, the most steps are taken: so many rows are then an eighth of them at most.
MANY_ITEMS = 16_384
LENGTHS = (1.0, 2.0)
#: A simpler rule stays unless another is better by so many standard errors of the difference.
STANDARD_ERRORS = 1.0

Measure = Callable[["Recipe"], NDArray[np.float64]]


@dataclass(frozen=True)
class Recipe:
    """What a rule is made by; with a table and histories it gives a ``FoldIn``.

    Attributes:
        kind: sum, matrix, ridge or steps.
        power: weights are count^-power.
        ridge: of the matrix's regression.
        penalty: of kind ridge.
        count: steps, or iterations of kind ridge.
        rows: in a step's sample.
        length: of the first step.
        temperature: of the steps' softmax.
        pull: of the steps, weight of the other rows (see ``Steps``).
    """

    kind: str = "sum"
    power: float = 0.0
    ridge: float | None = None
    penalty: float | None = None
    count: int | None = None
    rows: int | None = None
    length: float | None = None
    temperature: float | None = None
    pull: float | None = None

    @property
    def name(self) -> str:
        """How metrics name the rule."""
        base = f"count^-{self.power:g}"
        if self.kind == "matrix":
            return f"{base}, matrix {self.ridge:g}"
        if self.kind == "ridge":
            return f"{base}, ridge {self.penalty:g}"
        if self.kind == "steps":
            return f"{base}, {self.count} steps of {self.rows} rows, length {self.length:g}"
        return base

    def to_json(self) -> dict[str, Any]:
        """Name and numbers."""
        return {"rule": self.name, **{k: v for k, v in asdict(self).items() if v is not None}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Recipe:
        """The recipe that ``to_json`` wrote; other keys are left out."""
        return cls(**{key: value[key] for key in cls.__dataclass_fields__ if key in value})


def choose_fold_in(
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array | None,
    similarity: str,
    train: scipy.sparse.csr_array,
    validation: scipy.sparse.csr_array | None,
    seed: int,
    *,
    wanted: str = "auto",
    temperature: float | None = None,
    pull: float = 1.0,
    with_matrix: bool = True,
    network: PairNetwork | None = None,
) -> tuple[FoldIn, dict[str, Any]]:
    """Compare rules on at most 3,000 validation users, and take the simplest of those that rank best.

    Candidates are weighted sums with weights count^-power; for the best of them a dim x dim matrix, fitted
    by ridge regression from the (unit) sums of histories to the (unit) learnt users; and gradient steps of
    the softmax from the sum. A rule gives way to one that comes after it, in this order, only where its
    recall@20 is lower by more than a standard error of the users' differences. Ridge on the history is
    tried where it is asked for: it was below the plain sum on all data measured.

    Args:
        items: item table, csr_array (n_items x dim).
        users: learnt users, csr_array (n_users x dim), or None where the model's user is the sum: then
            "auto" compares sums only.
        similarity: "cosine" or "dot".
        train: histories, csr_array (n_users x n_items).
        validation: what is to be found, csr_array (n_users x n_items), or None: then the default rule.
        seed: of the choice of users.
        wanted: "auto", or the kind of rule to choose among: sum, matrix, ridge or steps.
        temperature: of the training loss; None leaves steps out.
        pull: of the training loss: what the bilateral softmax weighs the other rows with.
        with_matrix: whether "auto" may take a matrix, 4 dim² bytes of the file.
        network: makes scores of pairs of rows; None means their product.

    Returns:
        The rule, and its recipe with the recall@20 of every candidate by name.

    Raises:
        ConfigError: if the wanted rule cannot be made for this model.
    """
    if wanted == "matrix" and users is None:
        raise ConfigError(
            "fold-in 'matrix' is fitted to learnt users, which this model has not; choose 'sum'"
        )
    if temperature is not None and similarity == "cosine" and network is None:
        temperature = max(temperature, 1 / MAX_SHARPNESS)
    else:
        temperature = None
    if wanted == "steps" and temperature is None:
        raise ConfigError("fold-in 'steps' needs a model with cosine scores; choose 'sum' or 'matrix'")
    maker = _Maker(items, users, similarity, train)
    learnt = users is not None
    wanted_kinds = [wanted] if wanted != "auto" else ["sum", *(["matrix"] if with_matrix else []), "steps"]
    if validation is None:
        recipe = default_recipe(wanted, learnt, temperature, items.shape[0], pull)
        return maker.make(recipe), recipe.to_json()
    chosen = np.flatnonzero((np.diff(validation.indptr) > 0) & (np.diff(train.indptr) > 0))
    chosen = np.sort(np.random.default_rng([seed, 5]).permutation(chosen)[:USERS])
    relevant = np.diff(validation.indptr)[chosen]

    def measure(recipe: Recipe) -> NDArray[np.float64]:
        queries = folded_queries(items, similarity, maker.make(recipe), train)
        top = rank(queries, items, chosen, 20, seen=train, network=network)
        return recall(hits(top, validation, chosen), relevant)

    found = list(_search(measure, wanted_kinds, learnt, temperature, items.shape[0], pull))
    finalists = [(recipe, values) for recipe, values in found if recipe.kind in wanted_kinds]
    best = max(finalists, key=lambda entry: entry[1].mean())
    # Candidates stand from simple to costly.
    recipe = next(recipe for recipe, values in finalists if _no_worse(values, best[1]))
    figures = {candidate.name: float(values.mean()) for candidate, values in found}
    return maker.make(recipe), {**recipe.to_json(), "validation_recall@20": figures}


def default_recipe(
    wanted: str, with_users: bool, temperature: float | None, n_items: int, pull: float = 1.0
) -> Recipe:
    """What is taken where there is no validation cut to choose by."""
    if wanted == "auto":
        wanted = ("steps" if temperature is not None else "matrix") if with_users else "sum"
    if wanted == "matrix":
        return Recipe("matrix", ridge=MATRIX_RIDGES[0])
    if wanted == "ridge":
        return Recipe("ridge", penalty=PENALTIES[-1], count=ITERATIONS)
    if wanted == "steps":
        count, rows = STEPS[-1] if n_items >= MANY_ITEMS else STEPS[1]
        return Recipe(
            "steps",
            count=count,
            rows=_sample_rows(rows, n_items),
            length=LENGTHS[0],
            temperature=temperature,
            pull=pull,
        )
    return Recipe()


def same_fold_in(
    chosen: dict[str, Any],
    items: scipy.sparse.csr_array,
    users: scipy.sparse.csr_array | None,
    similarity: str,
    train: scipy.sparse.csr_array,
) -> tuple[FoldIn, dict[str, Any]]:
    """The rule that ``choose_fold_in`` named in ``chosen``, for other tables; with its metrics."""
    recipe = Recipe.from_json(chosen)
    return _Maker(items, users, similarity, train).make(recipe), recipe.to_json()


def _search(
    measure: Measure,
    kinds: list[str],
    with_users: bool,
    temperature: float | None,
    n_items: int,
    pull: float,
) -> Iterator[tuple[Recipe, NDArray[np.float64]]]:
    """Candidates with each user's recall, from simple to costly."""
    best, power = -1.0, POWERS[0]
    for tried in POWERS:
        values = measure(Recipe(power=tried))
        yield Recipe(power=tried), values
        if values.mean() <= best:
            break
        best, power = float(values.mean()), tried
    candidates: list[Recipe] = []
    if "matrix" in kinds and with_users:
        powers = sorted({power, max(0.0, power - 0.25)})
        candidates += [Recipe("matrix", tried, ridge) for tried in powers for ridge in MATRIX_RIDGES]
    if "ridge" in kinds:
        candidates += [Recipe("ridge", power, penalty=tried, count=ITERATIONS) for tried in PENALTIES]
    if "steps" in kinds and temperature is not None and (with_users or kinds == ["steps"]):
        # The loss weighs all items of a history alike, so the steps start from the plain sum.
        candidates += [
            Recipe(
                "steps",
                count=count,
                rows=_sample_rows(rows, n_items),
                length=length,
                temperature=temperature,
                pull=pull,
            )
            for count, rows in STEPS
            for length in LENGTHS
        ]
    for recipe in candidates:
        yield recipe, measure(recipe)


def _sample_rows(wanted: int, n_items: int) -> int:
    """A power of two that is not above the number of items, where the rule allows that few."""
    return max(COMB_ROWS, min(wanted, 1 << (n_items.bit_length() - 1)))


def _no_worse(values: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Whether the mean is within the noise of the best one's, user by user."""
    lead = best - values
    error = lead.std() / np.sqrt(len(lead))
    return bool(lead.mean() <= STANDARD_ERRORS * error)


class _Maker:
    """Makes rules for one model."""

    def __init__(
        self,
        items: scipy.sparse.csr_array,
        users: scipy.sparse.csr_array | None,
        similarity: str,
        train: scipy.sparse.csr_array,
    ) -> None:
        self._items, self._users, self._similarity, self._train = items, users, similarity, train
        self._counts = np.bincount(train.indices, minlength=train.shape[1])

    def make(self, recipe: Recipe) -> FoldIn:
        """The rule of a recipe."""
        weights = None
        if recipe.power:
            share = np.maximum(self._counts, 1) / max(1, self._counts.max())
            weights = share**-recipe.power
            weights = (weights / weights.max()).astype(np.float32)
        fold_in = FoldIn(weights)
        if recipe.kind == "matrix":
            assert recipe.ridge is not None
            return replace(fold_in, matrix=self._matrix(fold_in, recipe.ridge))
        if recipe.kind == "ridge":
            assert recipe.penalty is not None
            assert recipe.count is not None
            return replace(fold_in, rule=Ridge(recipe.penalty, recipe.count))
        if recipe.kind == "steps":
            assert recipe.count is not None
            assert recipe.rows is not None
            assert recipe.length is not None
            assert recipe.temperature is not None
            return replace(
                fold_in,
                rule=Steps(
                    recipe.count,
                    recipe.rows,
                    recipe.length,
                    float(np.float32(1 / recipe.temperature)),
                    1.0 if recipe.pull is None else float(np.float32(recipe.pull)),
                ),
            )
        return fold_in

    def _matrix(self, fold_in: FoldIn, ridge: float) -> NDArray[np.float32]:
        """A with A s ≈ u, from normal equations; ``ridge`` is relative to the mean eigenvalue."""
        dim = self._items.shape[1]
        gram, cross = np.zeros((dim, dim)), np.zeros((dim, dim))
        queries = folded_queries(self._items, self._similarity, fold_in, self._train)
        with_history = np.flatnonzero(np.diff(self._train.indptr) > 0)
        assert self._users is not None
        for start in range(0, len(with_history), ROWS_PER_BLOCK):
            rows = with_history[start : start + ROWS_PER_BLOCK]
            history = queries(rows).astype(np.float64)
            target = self._users[rows].toarray().astype(np.float64)
            gram += history.T @ history
            cross += history.T @ target
        gram += np.eye(dim) * (ridge * np.trace(gram) / dim + 1e-12)
        return np.ascontiguousarray(np.linalg.solve(gram, cross).T.astype(np.float32))
