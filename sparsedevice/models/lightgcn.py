"""LightGCN: users and items propagated over their graph in training, plain rows afterwards."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.models.mf import MatrixFactorization
from sparsedevice.models.rows import ITEM_PROJECTION, BatchTensors, update_table
from sparsedevice.sparse.initial import top_columns, unit_rows
from sparsedevice.sparse.mover import Mover
from sparsedevice.sparse.nmf import degree_normalised
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training.batches import Batch
from sparsedevice.training.config import TrainConfig
from sparsedevice.training.optimizer import Table, update_entries

Array = NDArray[Any]

# Columns that are propagated at a time: what a step holds densely for all rows.
COLUMNS = 16
ROWS = 4096
# Share of training after which sparse tables are baked; the rest tunes the baked rows.
BAKE_AT = 0.7


class LightGCN(MatrixFactorization):
    """LightGCN (He et al., arXiv 2002.02126) with the cosine and the losses of matrix factorisation.

    With Ã the bipartite graph normalised by the roots of both degrees, the rows that are scored are

        E = (E₀ + Ã E₀ + … + Ã^L E₀) / (L + 1),

    E₀ being the tables. Ã is symmetric, so the gradient goes back by the same sum. Columns do not mix: a step
    propagates a few columns of all rows at a time, keeps the batch's rows of the result, and reads the
    gradient at the active entries. Nothing of rows x columns is built; the time is that of 2 L products of
    the graph, both ways, and the tables.

    A device has no graph. After ``BAKE_AT`` of training E is *baked*: each row of E is cut to as many of its
    largest entries as the row has in E₀, which become the tables, and the rest of training goes on as matrix
    factorisation. Dense tables are baked, without loss, at the end.

    Attributes:
        tables: "users" and "items": E₀, then the baked rows.
        movers: what moves the shape, for the sparse ones of the tables.
        baked: whether the tables are baked.
    """

    def __init__(
        self,
        users: Table,
        items: Table,
        movers: dict[str, Mover],
        config: TrainConfig,
        matrix: scipy.sparse.csr_array,
    ) -> None:
        """Normalise the graph.

        Args:
            users: the table of users.
            items: the table of items.
            movers: what moves their shapes.
            config: resolved settings.
            matrix: the graph, csr_array (n_users x n_items).
        """
        super().__init__(users, items, movers, config)
        assert config.layers is not None
        self.baked = False
        self._layers = config.layers
        self._bake_at = BAKE_AT if movers else 1.0
        graph = degree_normalised(matrix)
        self._to_users = _torch_csr(graph, config.device)
        self._to_items = _torch_csr(scipy.sparse.csr_array(graph.T), config.device)

    def step(self, batch: Batch, lr: float, *, step: int, last: bool, progress: float) -> float:
        """Update the rows of a batch and all that the graph reaches from them; see ``Model.step``."""
        if not self.baked and progress >= self._bake_at:
            self._bake()
        if self.baked:
            return super().step(batch, lr, step=step, last=last, progress=progress)
        tables = self.tables
        device = tables["users"].device
        tensors = BatchTensors.of(batch, device)
        rows = {"users": tensors.users, "items": tensors.items}
        watched = self.watched(rows, last=last, progress=progress)
        blocks = {name: torch.empty(rows[name].numel(), table.dim, device=device)
                  for name, table in tables.items()}  # fmt: skip
        for start, stop in self._column_blocks():
            out = self._propagate(*(_columns(tables[name], start, stop)[0] for name in ("users", "items")))
            for name, block in zip(("users", "items"), out, strict=True):
                blocks[name][:, start:stop] = block[rows[name]]
        lengths = {name: block.norm(dim=1, keepdim=True).clamp_(min=1e-12) for name, block in blocks.items()}
        x, y = (blocks[name] / lengths[name] for name in ("users", "items"))
        scores = self._product(x, y.T)
        loss = self._loss(scores, tensors.user, tensors.column, tensors.log_inclusion, step=step)
        gradient = {"users": self._product(scores, y), "items": self._product(scores.T, x)}
        for name, unit in (("users", x), ("items", y)):
            gradient[name] -= (gradient[name] * unit).sum(1, keepdim=True) * unit
            gradient[name] /= lengths[name]
        self._send_back(rows, gradient, watched, lr, project=step % ITEM_PROJECTION == 0)
        return loss

    def _send_back(
        self,
        rows: dict[str, Tensor],
        gradient: dict[str, Tensor],
        watched: set[str],
        lr: float,
        *,
        project: bool,
    ) -> None:
        """Send the gradient of the batch's propagated rows back through the graph, and step."""
        entries = {name: torch.empty_like(table.values) for name, table in self.tables.items()}
        own = {name: torch.empty_like(block) for name, block in gradient.items()}
        for start, stop in self._column_blocks():
            sent = []
            for name in ("users", "items"):
                block = torch.zeros(self.tables[name].n_rows, stop - start, device=gradient[name].device)
                block[rows[name]] = gradient[name][:, start:stop]
                sent.append(block)
            for name, block in zip(("users", "items"), self._propagate(*sent), strict=True):
                _, entry, flat = _columns(self.tables[name], start, stop)
                entries[name][entry] = block.reshape(-1)[flat]
                own[name][:, start:stop] = block[rows[name]]
        for name, table in self.tables.items():
            mover = self.movers.get(name)
            if name in watched and mover is not None:
                mover.observe(rows[name], own[name])
            rest = torch.ones(table.n_rows, dtype=torch.bool, device=table.device)
            rest[rows[name]] = False
            for some in torch.split(torch.nonzero(rest).squeeze(1), ROWS):
                active = table.active(some)
                update_entries(table, active, entries[name][active.entry], lr, unit_rows=True)
            for start in range(0, rows[name].numel(), ROWS):
                active = table.active(rows[name][start : start + ROWS])
                update_table(table, mover, active, own[name][start : start + ROWS], lr, project=project)

    def trained_tables(self) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array | None]:
        """The baked rows, items and users, also where the tables are not baked yet."""
        if self.baked:
            return super().trained_tables()
        users, items = self._baked_rows()
        return items, users

    def state(self) -> dict[str, Tensor]:
        """Whether the tables are baked."""
        return {"baked": torch.tensor([self.baked])}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self.baked = bool(state["baked"][0])

    def _column_blocks(self) -> list[tuple[int, int]]:
        dim = self.tables["items"].dim
        return [(start, min(start + COLUMNS, dim)) for start in range(0, dim, COLUMNS)]

    def _propagate(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(I + Ã + … + Ã^L) / (L + 1) times some columns, float32[n_users, c] and float32[n_items, c]."""
        sum_users, sum_items = users.clone(), items.clone()
        for _ in range(self._layers):
            users, items = self._to_users @ items, self._to_items @ users
            sum_users += users
            sum_items += items
        return sum_users / (self._layers + 1), sum_items / (self._layers + 1)

    def _baked_rows(self) -> list[scipy.sparse.csr_array]:
        """The largest entries of the propagated rows of users and items, rows of length 1."""
        tables = [self.tables[name] for name in ("users", "items")]
        lengths = [np.diff(table.to_csr().indptr).astype(np.int64) for table in tables]
        kept: list[tuple[Array, Array] | None] = [None, None]
        for start, stop in self._column_blocks():
            out = self._propagate(*(_columns(table, start, stop)[0] for table in tables))
            for place, block in enumerate(out):
                kept[place] = _largest(kept[place], block.cpu().numpy(), start, int(lengths[place].max()))
        return [
            _rows(*pair, length, table.dim)
            for pair, length, table in zip(kept, lengths, tables, strict=True)
            if pair is not None
        ]

    def _bake(self) -> None:
        for name, rows in zip(("users", "items"), self._baked_rows(), strict=True):
            table = self.tables[name]
            state = {key: torch.zeros_like(value) for key, value in table.state().items()}
            state["values"] = torch.from_numpy(rows.data)
            if "columns" in state:
                state["row_start"] = torch.from_numpy(rows.indptr.astype(np.int64))
                state["columns"] = torch.from_numpy(rows.indices.astype(np.int64)).to(state["columns"].dtype)
            table.load_state(state)
        self.baked = True


def _columns(table: Table, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Columns of all rows as a block float32[n_rows, c], their entries, and these entries' places in it."""
    if isinstance(table, SparseTable):
        entry = torch.nonzero(table.columns // COLUMNS == start // COLUMNS).squeeze(1)
        row = torch.searchsorted(table.row_start, entry, right=True) - 1
        flat = row * (stop - start) + table.columns[entry].long() - start
    else:
        row = torch.arange(table.n_rows, device=table.device)[:, None]
        entry = (row * table.dim + torch.arange(start, stop, device=table.device)).view(-1)
        flat = torch.arange(entry.numel(), device=table.device)
    block = torch.zeros(table.n_rows * (stop - start), device=table.device)
    block[flat] = table.values[entry]
    return block.view(table.n_rows, stop - start), entry, flat


def _largest(kept: tuple[Array, Array] | None, block: Array, start: int, count: int) -> tuple[Array, Array]:
    """Each row's largest entries so far: values float32[n, m] and columns int32[n, m], m up to ``count``."""
    columns = np.broadcast_to(np.arange(start, start + block.shape[1], dtype=np.int32), block.shape)
    values = block
    if kept is not None:
        values, columns = np.hstack([kept[0], values]), np.hstack([kept[1], columns])
    if values.shape[1] <= count:
        return values, columns
    chosen = np.argpartition(-np.abs(values), count - 1, axis=1)[:, :count]
    return np.take_along_axis(values, chosen, 1), np.take_along_axis(columns, chosen, 1)


def _rows(values: Array, columns: Array, lengths: Array, dim: int) -> scipy.sparse.csr_array:
    """The ``lengths`` largest of each row's candidates as rows of length 1."""
    chosen = top_columns(np.abs(values), lengths)
    row = np.repeat(np.arange(len(lengths)), lengths)
    out = scipy.sparse.csr_array(
        (
            values[row, chosen].astype(np.float32),
            columns[row, chosen],
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        shape=(len(lengths), dim),
    )
    out.sort_indices()
    return unit_rows(out)


def _torch_csr(matrix: scipy.sparse.csr_array, device: str) -> Tensor:
    with warnings.catch_warnings():
        # "Sparse CSR tensor support is in beta state": products with dense matrices are all that is used.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=True,
        )
