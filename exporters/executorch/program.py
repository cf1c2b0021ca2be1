"""Writing the ExecuTorch program of a packed file."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
from executorch.exir.memory_planning import MemoryPlanningAlgorithmSuite, greedy
from executorch.exir.passes import MemoryPlanningPass

from sparsedevice.errors import TargetError
from sparsedevice.files import atomic_file
from sparsedevice.packing import PackedFile, Steps, Tower
from sparsedevice.packing.pair_network import PairNetwork

from ..refuse import refuse_ridge
from .methods import FOLD_ROWS, Fold, Matrix, Step, Table, Top, User
from .pairs import pair_methods
from .shared import share_equal_parts
from .tower import Climb

MODEL_NAME, DATA_NAME = "model.pte", "model.ptd"
# Tensors of a size take turns at few places, so that more of them are equal in the program.
_PLACES = partial(greedy, allow_overlapping_allocations=False)
Methods = dict[str, tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]


def write_program(packed: PackedFile, folder: Path, *, external: bool = False) -> list[str]:
    """Write ``model.pte`` into ``folder``: methods of portable operators over packed tables.

    Args:
        packed: the packed file.
        folder: where to write.
        external: write the tables into ``model.ptd``, which the program asks for by their names.

    Returns:
        The names of the files written.

    Raises:
        TargetError: if the file folds histories in by ridge.
    """
    refuse_ridge(packed, "executorch")
    methods = _row_methods(packed) if packed.network is None else _pair_methods(packed, packed.network)
    total = torch.zeros(packed.dim, dtype=torch.float64)
    if packed.fold_in.matrix is not None:
        methods["matrix"] = (Matrix(np.array(packed.fold_in.matrix)), (total,))
    if isinstance(packed.fold_in.rule, Tower):
        methods["tower"] = (Climb(packed.fold_in.rule), (total,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.export").setLevel(logging.ERROR)
        exported = {
            name: torch.export.export(module.eval(), args) for name, (module, args) in methods.items()
        }
        edge = to_edge(exported, compile_config=EdgeCompileConfig(_check_ir_validity=True))
        program = edge.to_executorch(
            ExecutorchBackendConfig(
                external_constants=(lambda _: DATA_NAME) if external else False,
                memory_planning_pass=MemoryPlanningPass(MemoryPlanningAlgorithmSuite([_PLACES])),
            )
        )
    with atomic_file(folder / MODEL_NAME) as file:
        file.write(share_equal_parts(program.buffer))
    if not external:
        return [MODEL_NAME]
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        program.write_tensor_data_to_file(beside)
        os.replace(Path(beside) / DATA_NAME, folder / DATA_NAME)
    return [MODEL_NAME, DATA_NAME]


def _row_methods(packed: PackedFile) -> Methods:
    """The methods that work on rows whose products are scores."""
    paired = packed.values == "int4"
    items = Table(packed.item_rows, paired=paired)
    total = torch.zeros(packed.dim, dtype=torch.float64)
    weights = packed.fold_in.weights
    fold: tuple[torch.Tensor, ...] = (total, torch.zeros(FOLD_ROWS, dtype=torch.int64))
    if weights is not None:
        weights, fold = np.array(weights), (*fold, torch.ones(1, dtype=torch.bool))
    methods: Methods = {
        "fold": (Fold(items, weights), fold),
        "top": (Top(items, packed.similarity), (total, torch.ones(items.padded, dtype=torch.bool))),
    }
    if isinstance(packed.fold_in.rule, Steps):
        rule = packed.fold_in.rule
        methods["step"] = (
            Step(items, float(np.float32(rule.sharpness))),
            # Two tensors: export takes one that comes twice for one input.
            (
                total,
                total.clone(),
                torch.zeros(rule.rows, dtype=torch.int64),
                torch.ones(1, dtype=torch.float64),
            ),
        )
    if packed.user_rows is not None:
        users = Table(packed.user_rows, paired=paired)
        methods["user"] = (User(users), (torch.zeros(1, dtype=torch.int64),))
    return methods


def _pair_methods(packed: PackedFile, network: PairNetwork) -> Methods:
    """The methods of a model whose scores are a network's."""
    if packed.fold_in.rule is not None:
        raise TargetError(
            f"target 'executorch' does not fold histories in by {packed.fold_in.kind} for a model with a"
            " network; train with --fold-in sum or matrix"
        )
    weights = packed.fold_in.weights
    return pair_methods(
        packed.item_rows,
        packed.user_rows,
        None if weights is None else np.array(weights),
        network,
        FOLD_ROWS,
    )
