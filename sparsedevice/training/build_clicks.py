"""From settings and a click log to a model that is ready to train."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.data.clicks import Clicks, ClickSplit
from sparsedevice.errors import ConfigError
from sparsedevice.models.dlrm import DLRM, new_parameters
from sparsedevice.models.dlrm_units import INITIAL_LENGTH, AlternatingUnits, initial_rows
from sparsedevice.sparse.budget import fixed_lengths, global_lengths
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.initial import random_shape
from sparsedevice.sparse.mover import ShapeMover
from sparsedevice.sparse.nmf import nmf_shape
from sparsedevice.sparse.presets import Method, method_named
from sparsedevice.sparse.schedule import Schedule
from sparsedevice.sparse.structured import Phases
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.click_config import ClickConfig

# Clicks that the initial shape is factorised from, at most.
SHAPE_ROWS = 200_000


@dataclass
class ClickModel:
    """A model, and what changes its shape while it is trained.

    Attributes:
        dlrm: the model.
        mover: what moves the entries of a sparse table, or None.
        units: what prunes and grows columns and neurons, or None.
    """

    dlrm: DLRM
    mover: ShapeMover | None
    units: AlternatingUnits | None

    def load_state(self, tensors: dict[str, Tensor], tower_steps: int) -> None:
        """Restore a checkpoint's tensors, named ``part.name``."""

        def under(part: str) -> dict[str, Tensor]:
            prefix = f"{part}."
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        self.dlrm.table.load_state(under("table"))
        self.dlrm.parameters.load_state(under("towers"), tower_steps)
        if self.mover is not None:
            self.mover.load_state(under("mover"))
        if self.units is not None:
            self.units.load_state(under("units"))


def build_click_model(config: ClickConfig, split: ClickSplit) -> ClickModel:
    """Table and towers in their initial shape, and what will change it.

    Args:
        config: resolved settings.
        split: the log; train alone is looked at.

    Raises:
        ConfigError: if the method is unknown, or parts of it exclude each other.
    """
    assert config.dim is not None
    generator = torch.Generator().manual_seed(config.seed)
    schema = split.schema
    parameters = new_parameters(schema, config.dim, config.bottom, config.top, generator, config.device)
    if config.table_sparsity == 0:
        rows = initial_rows(schema.n_rows, config.dim, generator)
        model = ClickModel(DLRM(schema, DenseTable(rows.to(config.device)), parameters), None, None)
    else:
        table, mover = _sparse_table(config, split)
        model = ClickModel(DLRM(schema, table, parameters), mover, None)
    if config.unit_sparsity > 0:
        model.units = AlternatingUnits(
            model.dlrm,
            Phases(config.cycles, config.full_share, config.finish),
            config.unit_sparsity,
            columns=config.table_sparsity == 0,
            seed=config.seed,
        )
    return model


def click_method(config: ClickConfig) -> Method:
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
        widen=config.widen,
    )
    if method.weights != "sparse" or method.blocks > 1 or method.backward_share < 1:
        raise ConfigError(f"method {config.method!r} is for models of users and items, not for click logs")
    if method.explore > 0 and method.grow == "none":
        raise ConfigError(
            f"method {config.method!r} moves the shape by projecting rows of length 1, and a click model's "
            "rows have any length; choose 'sparserec', or 'static-nmf' for a shape that stays"
        )
    if method.initial == "popularity" and config.fan_in != "global":
        raise ConfigError("the popularity shape gives rows unequal fan-in; choose fan_in 'global' with it")
    return method


def _sparse_table(config: ClickConfig, split: ClickSplit) -> tuple[SparseTable, ShapeMover]:
    assert config.dim is not None
    method, dim, n_rows = click_method(config), config.dim, split.schema.n_rows
    used = split.train.rows
    counts = np.bincount(used[used >= 0], minlength=n_rows).astype(np.int64)
    if config.fan_in == "fixed":
        final = fixed_lengths(n_rows, dim, config.table_sparsity)
    else:
        final = global_lengths(counts, dim, config.table_sparsity)
    start = np.minimum(np.rint(final * method.widen).astype(np.int64), dim)
    generator = np.random.default_rng([config.seed, 0])
    if method.initial == "nmf":
        shape = _shape_of_clicks(split.train, n_rows, dim, start, generator)
    else:
        shape = random_shape(start, dim, generator)
    shape.data *= np.float32(INITIAL_LENGTH)
    table = SparseTable.from_csr(shape, config.device)
    mover = ShapeMover(
        table,
        method,
        Schedule(method.rho0, method.rho_end, method.rho_end if method.widen > 1 else 0.0),
        lengths=torch.from_numpy(final).to(config.device),
        widen=method.widen,
        global_budget=config.fan_in == "global",
        seed=config.seed,
    )
    return table, mover


def _shape_of_clicks(
    train: Clicks, n_rows: int, dim: int, lengths: NDArray[np.int64], generator: np.random.Generator
) -> scipy.sparse.csr_array:
    """NMF of how often two categories are clicked together: such pairs get common columns.

    Both factors stand for the same categories; one of them is taken.
    """
    clicked = np.flatnonzero(train.label)
    clicked = np.sort(generator.permutation(clicked)[:SHAPE_ROWS])
    rows = train.rows[clicked]
    used = rows >= 0
    example = np.repeat(np.arange(len(rows)), used.sum(axis=1))
    shape = (len(rows), n_rows)
    log = scipy.sparse.csr_array((np.ones(len(example), np.float32), (example, rows[used])), shape=shape)
    together = scipy.sparse.csr_array(log.T @ log)
    together.setdiag(0)
    together.eliminate_zeros()
    together.sort_indices()
    together.data[:] = 1.0
    return nmf_shape(together, dim, lengths, lengths, generator)[1]
