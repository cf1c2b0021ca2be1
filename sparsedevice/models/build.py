"""From settings and data to a model that is ready to train."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError
from sparsedevice.models.elsa import ItemAutoencoder
from sparsedevice.models.mf import MatrixFactorization
from sparsedevice.models.pooled import PooledTower
from sparsedevice.models.rows import Model
from sparsedevice.sparse.budget import fixed_lengths, global_lengths
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.initial import random_shape
from sparsedevice.sparse.mover import ShapeMover
from sparsedevice.sparse.nmf import nmf_shape
from sparsedevice.sparse.presets import Method, method_named
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.config import HISTORY_MODELS, TrainConfig
from sparsedevice.training.optimizer import Table


def build_model(config: TrainConfig, matrix: scipy.sparse.csr_array) -> Model:
    """Tables in their initial shape, and what will move it.

    Args:
        config: resolved settings.
        matrix: training interactions, csr_array (n_users x n_items).

    Raises:
        ConfigError: if parts of the method exclude each other.
    """
    assert config.dim is not None
    method = resolved_method(config)
    n_items = matrix.shape[1]
    dim = config.dim
    counts = {
        "users": np.diff(matrix.indptr).astype(np.int64),
        "items": np.bincount(matrix.indices, minlength=n_items).astype(np.int64),
    }
    learnt = ["items"] if config.model in HISTORY_MODELS else ["users", "items"]
    dense = config.sparsity == 0 or method.prune_after
    sparse = [] if dense else [n for n in learnt if n == "items" or config.sparse == "both"]
    final = {
        name: fixed_lengths(len(counts[name]), dim, config.sparsity)
        if config.fan_in == "fixed"
        else global_lengths(counts[name], dim, config.sparsity)
        for name in sparse
    }
    start = {name: np.minimum(np.rint(final[name] * method.widen).astype(np.int64), dim) for name in sparse}
    values = _initial_values(method, matrix, dim, start, counts, config.seed)
    tables: dict[str, Table] = {}
    movers: dict[str, ShapeMover] = {}
    schedule = Schedule(method.rho0, method.rho_end, method.rho_end if method.widen > 1 else 0.0)
    for place, name in enumerate(("users", "items")):
        if name not in learnt:
            continue
        if name not in sparse:
            generator = torch.Generator().manual_seed(config.seed * 2 + place)
            # The whole table is dense by the caller's choice: sparsity 0, or users that are never shipped.
            rows = torch.randn(len(counts[name]), dim, generator=generator)
            tables[name] = DenseTable(torch.nn.functional.normalize(rows).to(config.device))
            continue
        table = SparseTable.from_csr(values[name], config.device)
        tables[name] = table
        movers[name] = ShapeMover(
            table,
            method,
            schedule,
            lengths=torch.from_numpy(final[name]).to(config.device),
            widen=method.widen,
            global_budget=config.fan_in == "global",
            seed=config.seed * 2 + place,
        )
    if config.model == "elsa":
        return ItemAutoencoder(tables["items"], movers, config)
    if config.model == "pooled":
        return PooledTower(tables["items"], movers, config, counts["items"])
    return MatrixFactorization(tables["users"], tables["items"], movers, config)


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
    )
    if method.initial == "popularity" and config.fan_in != "global":
        raise ConfigError("the popularity shape gives rows unequal fan-in; choose fan_in 'global' with it")
    return method


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
        users, items = nmf_shape(matrix, dim, sides[0], sides[1], generator)
        return {"users": users, "items": items}
    return {name: random_shape(lengths[name], dim, generator) for name in lengths}
