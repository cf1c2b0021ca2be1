"""A budget in bytes: the shape that fits it, and cutting what was trained until its file keeps to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.data.splits import Split
from sparsedevice.errors import ConfigError
from sparsedevice.pack_run import weigh
from sparsedevice.packing.fold_in import FoldIn
from sparsedevice.packing.tower import Tower, layer_shapes
from sparsedevice.run import Run
from sparsedevice.sparse.initial import random_shape
from sparsedevice.sparse.prune import magnitude_prune
from sparsedevice.training.config import HISTORY_MODELS, TrainConfig
from sparsedevice.training.fold_in import same_fold_in
from sparsedevice.training.shape_rule import DIMS, expected_recall

#: A fan-in is rounded up, and its smallest entries dropped after training, where at least half of it fits.
ROUND_UP = 0.5


def plan_shape(config: TrainConfig, split: Split) -> TrainConfig:
    """Fill in width, fan-in (as sparsity), coding and fold-in matrix, so that the run's file fits its budget.

    What a shape weighs is asked of the writer: a file with the split's own ids and titles and random rows of
    fan-in 1 and of fan-in 8 is written for each width. Of the shapes that fit, the one is taken whose recall
    was highest where it was measured (``shape_rule``). Values are 4 bits wide: at every shape measured they
    ranked as well as 8 bits, at three quarters of the bytes. A width or coding that the settings name stays.

    Args:
        config: resolved but for ``dim``; with ``budget_bytes``.
        split: the data, whose vocabulary the file carries.

    Raises:
        ConfigError: if nothing fits; the sentence names the smallest file.
    """
    budget = config.budget_bytes
    assert budget is not None
    if config.budget_users and (config.model in HISTORY_MODELS or config.sparse == "items"):
        raise ConfigError(
            "a budget with users needs sparse user rows, so --model mf and --sparse both; "
            "leave out --budget-users: histories are folded in on the device"
        )
    if config.model == "neumf":
        raise ConfigError(
            "model 'neumf' is not packed alone, so it takes no budget; set dim and sparsity, or choose mf"
        )
    # Steps of the loss rank as well in 24 bytes, so room is kept for a matrix only where it is asked for.
    matrix = config.fold_in == "matrix"
    smallest: int | None = None
    best, answer = -1.0, config
    for dim in [dim for dim in DIMS if dim >= (config.hidden or 0)] if config.dim is None else (config.dim,):
        asked = replace(config, dim=dim, values=config.values or "int4")
        one = _file_bytes(asked, split, 1, matrix=matrix)
        smallest = one if smallest is None else min(smallest, one)
        if one > budget:
            continue
        few = min(8, dim)
        entry = max((_file_bytes(asked, split, few, matrix=matrix) - one) / max(few - 1, 1), 1e-9)
        fan_in = min(dim, 1 + (budget - one) / entry)
        expected = expected_recall(dim, fan_in)
        if expected > best:
            best = expected
            whole = max(1, min(dim, int(fan_in + ROUND_UP)))
            # A hair less sparse, so that rounding down gives exactly this fan-in.
            answer = replace(asked, sparsity=max(0.0, 1 - (whole + 1e-3) / dim), fold_matrix=matrix)
    if best < 0:
        raise ConfigError(
            f"a budget of {budget:,} bytes is too small for these {split.train.n_items:,} items: the "
            f"smallest possible file has {smallest:,} bytes as the budget counts them"
        )
    return answer


def _file_bytes(config: TrainConfig, split: Split, fan_in: int, *, matrix: bool = False) -> int:
    """Bytes that the budget counts of a file of this split with random rows of ``fan_in`` entries."""
    assert config.dim is not None
    generator = np.random.default_rng(0)

    def rows(n: int) -> scipy.sparse.csr_array:
        return random_shape(np.full(n, fan_in, np.int64), config.dim or 1, generator)

    n_items = split.train.n_items
    counts = np.bincount(split.train.item_index, minlength=n_items)
    fold_in = FoldIn((np.maximum(counts, 1) ** -0.5).astype(np.float32))
    if config.model == "multvae":
        fold_in = dense_fold_in(config.dim, config.hidden or 0, generator)
    elif matrix:
        fold_in = replace(fold_in, matrix=_noise(generator, config.dim, config.dim))
    users = rows(split.train.n_users) if config.budget_users else None
    return weigh(Run(config, rows(n_items), users, split, "cosine", fold_in, {}))


def dense_fold_in(dim: int, hidden: int, generator: np.random.Generator) -> FoldIn:
    """A rule of the size that a Mult-VAE ships, of random numbers."""
    if not hidden:
        return FoldIn(None, _noise(generator, dim, dim))
    shapes = layer_shapes(3, hidden, dim)
    return FoldIn(rule=Tower(tuple((_noise(generator, *s), _noise(generator, s[0])) for s in shapes)))


def _noise(generator: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return generator.standard_normal(shape).astype(np.float32)


def keep_to_budget(run: Run, matrix: scipy.sparse.csr_array) -> Run:
    """Drop the smallest entries until the run's file keeps to its budget; say in metrics by how much it does.

    What a file weighs depends on what was learnt: 4-bit values that round to zero are left out, and the
    compact coding follows the statistics of columns and values. Rows keep equal fan-in but for one entry.

    Args:
        run: a trained run, with a budget.
        matrix: the histories that fold-in is fitted to, csr_array (n_users x n_items).

    Raises:
        ConfigError: if one entry a row is still too much.
    """
    budget = run.config.budget_bytes
    assert budget is not None
    planned = run.items.nnz
    size = weigh(run)
    while size > budget:
        shipped = [run.items]
        if run.config.budget_users and run.users is not None:
            shipped.append(run.users)
        rows, entries = sum(table.shape[0] for table in shipped), sum(table.nnz for table in shipped)
        # Entries take 1.5 to 3 bytes; too few dropped means another round, too many is room wasted.
        keep = entries - max(1, -(-(size - budget) // 3))
        if keep < rows:
            raise ConfigError(
                f"the file has {size:,} bytes with one entry a row, over the budget of {budget:,}; "
                "choose a larger --budget"
            )
        run = _cut(run, keep / entries, matrix)
        size = weigh(run)
    run.metrics["budget"] = {
        "budget_bytes": budget,
        "of": run.config.budget_for,
        "ids_and_titles": "counted" if run.config.budget_vocabulary else "not counted",
        "users": "shipped" if run.config.budget_users else "not shipped",
        "bytes": size,
        "below_by": budget - size,
        "values": run.config.values,
        "dropped_entries": planned - run.items.nnz,
    }
    return run


def _cut(run: Run, share: float, matrix: scipy.sparse.csr_array) -> Run:
    """The run with this share of its entries, the largest, and its fold-in rule fitted again."""
    items = _largest(run.items, share)
    users = run.users
    if users is not None and run.config.budget_users:
        users = _largest(users, share)
    metrics = dict(run.metrics)
    fold_in = run.fold_in
    if "power" in metrics["fold_in"]:
        fold_in, _ = same_fold_in(metrics["fold_in"], items, users, run.similarity, matrix)
    return replace(run, items=items, users=users, fold_in=fold_in, metrics=metrics)


def _largest(table: scipy.sparse.csr_array, share: float) -> scipy.sparse.csr_array:
    n_rows = table.shape[0]
    keep = max(n_rows, int(table.nnz * share))
    return magnitude_prune(table, keep, keep // n_rows)
