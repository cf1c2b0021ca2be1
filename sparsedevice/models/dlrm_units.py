"""The units of DLRM that can leave and come back: columns of the embeddings, neurons of the towers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sparsedevice.models.dlrm import CONSTANT, DLRM, layer_names
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.structured import Phases, UnitGroup

INITIAL_LENGTH = 0.5


@dataclass(frozen=True)
class Wiring:
    """Where a group's units are in the matrices.

    Attributes:
        group: the units.
        writers: parameters with one row per unit, whose values make the unit's output.
        reader: the weight with one column per unit, first of all its columns.
        table: whether the units are the columns of the embedding table as well.
    """

    group: UnitGroup
    writers: tuple[str, ...]
    reader: str
    table: bool = False


class AlternatingUnits:
    """Prunes units when a pruned phase starts, grows them back when a full one does.

    A grown neuron starts with random incoming and zero outgoing weights, so the model computes what it did
    before; a grown column of the embeddings starts random like a new table, and the top MLP reads it with
    weight zero.

    Attributes:
        is_pruned: whether the model is small now.
    """

    def __init__(self, model: DLRM, phases: Phases, sparsity: float, *, columns: bool, seed: int) -> None:
        """Find the units.

        Args:
            model: full-size.
            phases: when it is full and when pruned.
            sparsity: share of each group's units that a pruned phase does without.
            columns: whether the columns of the embeddings are units too; the table must be a ``DenseTable``.
            seed: of the values of grown units.
        """
        self.is_pruned = False
        self._model = model
        self._phases = phases
        self._sparsity = sparsity
        self._seed = seed
        self._growths = 0
        self._wirings = _wirings(model, columns)

    def observe(self, gradients: dict[str, Tensor], block: Tensor, block_gradient: Tensor) -> None:
        """Add a step to the units' importance; free in pruned phases.

        Args:
            gradients: of the parameters.
            block: rows of the table that the step read, float32[r, dim].
            block_gradient: their gradient, as ``block``.
        """
        if self.is_pruned:
            return
        values = self._model.parameters.values
        for wiring in self._wirings:
            products = [(values[name] * gradients[name]).flatten(1).sum(1) if values[name].ndim > 1
                        else values[name] * gradients[name] for name in wiring.writers]  # fmt: skip
            if wiring.table:
                products.append((block * block_gradient).sum(0))
            wiring.group.observe(torch.stack(products).sum(0))

    def move(self, progress: float) -> bool:
        """Bring the model to the size of the phase at ``progress``; return whether it changed."""
        wanted = self._phases.is_pruned(progress)
        if wanted == self.is_pruned:
            return False
        if wanted:
            for wiring in self._wirings:
                self._prune(wiring)
        else:
            self._growths += 1
            generator = torch.Generator().manual_seed(self._seed * 1009 + self._growths)
            for wiring in self._wirings:
                self._grow(wiring, generator)
        self.is_pruned = wanted
        return True

    def _prune(self, wiring: Wiring) -> None:
        parameters, group = self._model.parameters, wiring.group
        position = group.choose(self._sparsity)
        for name in wiring.writers:
            parameters.keep(name, 0, position)
        n_read = parameters.values[wiring.reader].shape[1]
        others = torch.arange(group.alive.numel(), n_read, device=position.device)
        parameters.keep(wiring.reader, 1, torch.cat([position, others]))
        if wiring.table:
            self._dense_table().keep_columns(position)
        group.keep(position)

    def _grow(self, wiring: Wiring, generator: torch.Generator) -> None:
        parameters, group = self._model.parameters, wiring.group

        def fresh(shape: tuple[int, ...]) -> Tensor:
            if len(shape) == 1:  # a bias, or the vector that stands for the numbers
                return 0.1 * torch.randn(shape, generator=generator) * (CONSTANT in wiring.writers)
            return torch.randn(shape, generator=generator) * math.sqrt(2 / shape[1])

        for name in wiring.writers:
            parameters.spread(name, 0, group.alive, group.size, fresh)
        others = parameters.values[wiring.reader].shape[1] - group.alive.numel()
        index = torch.cat([group.alive, group.size + torch.arange(others, device=group.alive.device)])
        parameters.spread(wiring.reader, 1, index, group.size + others, torch.zeros)
        if wiring.table:
            table = self._dense_table()
            new = initial_rows(table.n_rows, group.size, generator).to(table.device)
            table.spread_columns(group.alive, new)
        group.restore()

    def _dense_table(self) -> DenseTable:
        table = self._model.table
        assert isinstance(table, DenseTable)
        return table

    def state(self) -> dict[str, Tensor]:
        """Tensors for checkpoints and memory accounting."""
        out = {"progress": torch.tensor([int(self.is_pruned), self._growths])}
        for wiring in self._wirings:
            out[f"{wiring.group.name}.alive"] = wiring.group.alive
            out[f"{wiring.group.name}.importance"] = wiring.group.importance
        return out

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned; table and parameters are restored by themselves."""
        self.is_pruned, self._growths = bool(state["progress"][0]), int(state["progress"][1])
        for wiring in self._wirings:
            device = wiring.group.alive.device
            wiring.group.alive = state[f"{wiring.group.name}.alive"].to(device)
            wiring.group.importance = state[f"{wiring.group.name}.importance"].to(device)


def initial_rows(n_rows: int, dim: int, generator: torch.Generator) -> Tensor:
    """Random rows of a table without sparsity, of length about ``INITIAL_LENGTH``, float32[n_rows, dim]."""
    return torch.randn(n_rows, dim, generator=generator) * (INITIAL_LENGTH / math.sqrt(dim))


def _wirings(model: DLRM, columns: bool) -> list[Wiring]:
    """Groups from the input to the output, so that grown units' random values are written last."""
    values, device = model.parameters.values, model.table.device
    bottom, top = layer_names(values, "bottom"), layer_names(values, "top")

    def hidden(names: list[str]) -> list[Wiring]:
        return [
            Wiring(
                UnitGroup(name, values[f"{name}.weight"].shape[0], device),
                (f"{name}.weight", f"{name}.bias"),
                f"{after}.weight",
            )
            for name, after in pairwise(names)
        ]

    out = hidden(bottom)
    if columns:
        writers = (f"{bottom[-1]}.weight", f"{bottom[-1]}.bias") if bottom else (CONSTANT,)
        group = UnitGroup("columns", model.table.dim, device)
        out.append(Wiring(group, writers, f"{top[0]}.weight", table=True))
    return out + hidden(top)
