"""From settings and data to a model that is ready to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.errors import ConfigError
from sparsedevice.models.elsa import ItemAutoencoder
from sparsedevice.models.lightgcn import LightGCN
from sparsedevice.models.mf import MatrixFactorization
from sparsedevice.models.multvae import MultVAE
from sparsedevice.models.neumf import NeuMF
from sparsedevice.models.pooled import PooledTower
from sparsedevice.models.rows import Model
from sparsedevice.sparse.budget import fixed_lengths, global_lengths
from sparsedevice.sparse.columns import ColumnMover
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.dpf import FeedbackMover, MaskedTable
from sparsedevice.sparse.initial import block_shape, random_shape
from sparsedevice.sparse.mover import Mover, ShapeMover
from sparsedevice.sparse.nmf import nmf_shape
from sparsedevice.sparse.pep import ThresholdMover, ThresholdTable
from sparsedevice.sparse.presets import Method, method_named
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.structured import Finish, Phases
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.config import HISTORY_MODELS, TrainConfig
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher

# From training interactions, entries of each row by name of the table, and a seed: tables by name.
StartTables = Callable[
    [scipy.sparse.csr_array, dict[str, NDArray[np.int64]], int], dict[str, scipy.sparse.csr_array]
]


def build_model(
    config: TrainConfig,
    matrix: scipy.sparse.csr_array,
    start: StartTables | None = None,
    teacher: Teacher | None = None,
) -> Model:
    """Tables in their initial shape, and what will move it.

    Args:
        config: resolved settings.
        matrix: training interactions, csr_array (n_users x n_items).
        start: gives rows of asked lengths to start from, by name; by the method's initial shape where None.
        teacher: a model to learn from, or None.

    Raises:
        ConfigError: if parts of the method exclude each other.
    """
    assert config.dim is not None
    method = resolved_method(config)
    if config.model == "lightgcn" and method.weights not in ("sparse", "dense"):
        raise ConfigError(
            f"method {config.method!r} keeps its weights in a form that LightGCN does not propagate; choose "
            "another method, or --model mf"
        )
    if config.model == "neumf" and method.weights in ("columns", "dense"):
        raise ConfigError(
            f"method {config.method!r} prunes by what rows are without a network; choose another method, or"
            " --model mf"
        )
    dim = config.dim
    counts = {
        "users": np.diff(matrix.indptr).astype(np.int64),
        "items": np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64),
    }
    learnt = ["items"] if config.model in HISTORY_MODELS else ["users", "items"]
    compressed = [n for n in learnt if n == "items" or config.sparse == "both"] if config.sparsity > 0 else []
    final = {
        name: fixed_lengths(len(counts[name]), dim, config.sparsity)
        if config.fan_in == "fixed"
        else global_lengths(counts[name], dim, config.sparsity)
        for name in compressed
    }
    final = {name: _whole_blocks(lengths, dim, method.blocks) for name, lengths in final.items()}
    widened = {
        name: np.minimum(np.rint(lengths * method.widen).astype(np.int64), dim)
        for name, lengths in final.items()
        if method.weights == "sparse"
    }
    if start is not None:
        full = {name: np.full(len(counts[name]), dim, np.int64) for name in learnt if name not in widened}
        values = start(matrix, {**widened, **full}, config.seed)
    else:
        values = _initial_values(method, matrix, dim, widened, counts, config.seed)
    tables: dict[str, Table] = {}
    movers: dict[str, Mover] = {}
    for place, name in enumerate(("users", "items")):
        if name not in learnt:
            continue
        seed = config.seed * 2 + place
        if name in compressed and method.weights == "sparse":
            tables[name] = SparseTable.from_csr(values[name], config.device)
            movers[name] = _shape_mover(tables[name], method, config, final[name], seed)
        elif name in compressed and method.weights in ("feedback", "thresholds"):
            movers[name] = _shadow_mover(method, config, final[name], dim, seed)
            tables[name] = movers[name].table
        else:
            # Dense by choice (sparsity 0, users that are never shipped), or because the method needs it.
            rows = _dense_rows(len(counts[name]), dim, seed) if start is None else _all_entries(values[name])
            tables[name] = DenseTable(rows.to(config.device))
        tables[name].power = method.power
    if compressed and method.weights == "columns":
        movers[learnt[0]] = _column_mover([tables[name] for name in learnt], config)
    return model_of(config, tables, movers, matrix, teacher)


def model_of(
    config: TrainConfig,
    tables: Mapping[str, Table],
    movers: dict[str, Mover],
    matrix: scipy.sparse.csr_array,
    teacher: Teacher | None = None,
) -> Model:
    """The model over these tables; arguments as in ``build_model``."""
    if config.model == "elsa":
        return ItemAutoencoder(tables["items"], movers, config, teacher=teacher)
    if config.model == "pooled":
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)
        return PooledTower(tables["items"], movers, config, counts, teacher=teacher)
    if config.model == "multvae":
        return MultVAE(tables["items"], movers, config)
    if config.model == "neumf":
        return NeuMF(tables["users"], tables["items"], movers, config)
    if config.model == "lightgcn":
        return LightGCN(tables["users"], tables["items"], movers, config, matrix)
    return MatrixFactorization(
        tables["users"],
        tables["items"],
        movers,
        config,
        backward_share=resolved_method(config).backward_share,
        teacher=teacher,
    )


def _all_entries(table: scipy.sparse.csr_array) -> Tensor:
    """A table that is dense by choice as such, float32[n_rows, dim]."""
    return torch.from_numpy(table.toarray())


def _whole_blocks(lengths: NDArray[np.int64], dim: int, blocks: int) -> NDArray[np.int64]:
    if blocks == 1:
        return lengths
    if dim % blocks or int(lengths.min()) < blocks:
        raise ConfigError(
            f"{blocks} blocks need a width that they divide and as many entries a row; "
            f"dim is {dim} with {int(lengths.min())} entries a row"
        )
    return lengths // blocks * blocks


def _shape_mover(
    table: Table, method: Method, config: TrainConfig, final: NDArray[np.int64], seed: int
) -> ShapeMover:
    assert isinstance(table, SparseTable)
    anneal_end = method.rho_end if method.widen > 1 else 0.0
    return ShapeMover(
        table,
        method,
        Schedule(method.rho0, method.rho_end, anneal_end, method.decay),
        lengths=torch.from_numpy(final).to(config.device),
        widen=method.widen,
        global_budget=config.fan_in == "global",
        seed=seed,
    )


def _shadow_mover(
    method: Method, config: TrainConfig, final: NDArray[np.int64], dim: int, seed: int
) -> FeedbackMover | ThresholdMover:
    rows = _dense_rows(len(final), dim, seed).to(config.device)
    if method.weights == "feedback":
        lengths = torch.from_numpy(final).to(config.device)
        return FeedbackMover(
            MaskedTable(rows), lengths, method.rho_end, global_budget=config.fan_in == "global"
        )
    return ThresholdMover(
        ThresholdTable(rows, method.thresholds),
        int(final.sum()),
        method.retrain,
        lambda: _dense_rows(len(final), dim, seed),
    )


def _column_mover(tables: list[Table], config: TrainConfig) -> ColumnMover:
    first, *others = (table for table in tables if isinstance(table, DenseTable))
    phases = Phases(config.cycles, config.full_share, cast("Finish", config.finish))
    return ColumnMover(first, others, phases, config.sparsity, config.seed)


def _dense_rows(n_rows: int, dim: int, seed: int) -> Tensor:
    """Random rows of length 1, float32[n_rows, dim]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n_rows, dim, generator=generator))


def resolved_method(config: TrainConfig) -> Method:
    """The preset with the parts that the settings replace.

    Raises:
        ConfigError: if the method or a part is unknown, or parts exclude each other.
    """
    method = method_named(config.method).with_parts(
        initial=config.initial,
        grow=config.grow,
        watched_share=config.watched_share,
        rho0=config.rho0,
        rho_end=config.rho_end,
        explore=config.explore,
        widen=config.widen,
        power=config.power,
        thresholds=config.thresholds,
        retrain=config.retrain,
        backward_share=config.backward_share,
        blocks=config.blocks,
    )
    _check_parts(method, config)
    return method


def _check_parts(method: Method, config: TrainConfig) -> None:
    if method.power > 1 and method.explore > 0:
        raise ConfigError(
            "power above 1 leaves inactive entries without a gradient, which projection needs; "
            "set explore to 0, or choose another method"
        )
    if method.initial == "popularity" and config.fan_in != "global":
        raise ConfigError("the popularity shape gives rows unequal fan-in; choose fan_in 'global' with it")
    if method.weights == "columns" and config.model == "mf" and config.sparse == "items":
        raise ConfigError(
            "method 'amgp' takes columns from users and items alike; choose sparse 'both' with it"
        )
    if (method.weights == "thresholds") != (0 < method.retrain < 1):
        raise ConfigError(f"retrain {method.retrain} is for method 'pep', which needs it above 0 and below 1")
    if method.backward_share < 1 and config.model != "mf":
        raise ConfigError(f"backward_share is for model 'mf'; model {config.model!r} computes all terms")
    if method.blocks > 1 and (config.fan_in != "fixed" or method.widen > 1):
        raise ConfigError(
            "blocks need the same fan-in for each row all the time; choose fan_in 'fixed', widen 1"
        )


def _initial_values(
    method: Method,
    matrix: scipy.sparse.csr_array,
    dim: int,
    lengths: dict[str, NDArray[np.int64]],
    counts: dict[str, NDArray[np.int64]],
    seed: int,
) -> dict[str, scipy.sparse.csr_array]:
    if not lengths:
        return {}
    generator = np.random.default_rng([seed, 0])
    if method.initial == "nmf":
        # A dense side takes part in the factorisation with the fan-in that the sparse side has on average.
        mean = {name: max(1, int(lengths[name].mean())) for name in lengths}
        sides = [
            lengths.get(name, np.full(len(counts[name]), min(dim, max(mean.values())), np.int64))
            for name in ("users", "items")
        ]
        if method.blocks > 1:
            # Twice the entries, so that each block finds some of the factorisation's.
            wide = [np.minimum(2 * side, dim) for side in sides]
            users, items = nmf_shape(matrix, dim, wide[0], wide[1], generator)
            per_block = {name: int(lengths[name][0]) // method.blocks for name in lengths}
            return {
                name: block_shape(factor, method.blocks, per_block[name], generator)
                for name, factor in (("users", users), ("items", items))
                if name in lengths
            }
        users, items = nmf_shape(matrix, dim, sides[0], sides[1], generator)
        return {"users": users, "items": items}
    if method.blocks > 1:
        return {
            name: block_shape(
                random_shape(lengths[name], dim, generator),
                method.blocks,
                int(lengths[name][0]) // method.blocks,
                generator,
            )
            for name in lengths
        }
    return {name: random_shape(lengths[name], dim, generator) for name in lengths}
