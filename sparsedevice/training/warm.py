"""A warm start: the tables of an earlier run, with rows for new users and items, wide enough to grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.sparse.initial import random_shape, top_columns, unit_rows
from sparsedevice.training.optimizer import Table as TrainedTable
from sparsedevice.training.prior import Prior

ROWS_PER_BLOCK = 1024
Table = scipy.sparse.csr_array
Neighbours = Callable[[int, int], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What a refresh starts from, over the joined vocabularies.

    Attributes:
        tables: learnt rows by name, csr_array float32 (n x dim); rows of new users and items are empty.
        priors: what pulls the rows back to what was learnt, by name; empty without a prior.
        users: users who have new interactions, int64[m]: those that training goes over.
    """

    tables: dict[str, Table]
    priors: dict[str, Prior]
    users: NDArray[np.int64]

    def watch(self, tables: Mapping[str, TrainedTable]) -> int:
        """Let the priors pull these tables; return the priors' bytes."""
        for name, prior in self.priors.items():
            prior.watch(tables[name])
        return sum(prior.nbytes() for prior in self.priors.values())

    def active(self, matrix: Table) -> Table:
        """The histories of the users with new interactions; the others' rows are empty."""
        chosen = np.zeros(matrix.shape[0], bool)
        chosen[self.users] = True
        kept = chosen[np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))]
        lengths = np.where(chosen, np.diff(matrix.indptr), 0)
        row_start = np.concatenate([[0], np.cumsum(lengths)])
        return Table((matrix.data[kept], matrix.indices[kept], row_start), shape=matrix.shape)

    def values(self, matrix: Table, lengths: dict[str, NDArray[np.int64]], seed: int) -> dict[str, Table]:
        """Tables to start from, each row r with ``lengths[name][r]`` entries.

        A learnt row keeps its (largest) entries. Where it may have more, it gets those columns, at zero, in
        which its neighbours are largest: what it grows by. A new row is the sum of its neighbours, cut to its
        largest entries: of the items of a user, of the users of an item, each at length 1. Where a row has no
        neighbour that was learnt, its columns are random.

        Args:
            matrix: all training interactions, csr_array (n_users x n_items).
            lengths: entries of each row, int64[n], by name of the table.
            seed: of random columns.
        """
        transposed = Table(matrix.T)
        items = self.tables["items"]
        # Where users are their histories, rows of theirs serve new items as neighbours, and go again.
        wide = np.full(matrix.shape[0], int(lengths["items"].max()), np.int64)
        user_lengths = lengths.get("users", wide)
        none: Any = Table((matrix.shape[0], items.shape[1]), dtype=np.float32)
        learnt: Table = self.tables.get("users", none)
        users = _warm_rows(learnt, _sums(matrix, items), user_lengths)
        items = _warm_rows(items, _sums(transposed, users), lengths["items"])
        # Users of new items alone had no neighbours the first time.
        users = _warm_rows(users, _sums(matrix, items), user_lengths)
        generator = np.random.default_rng([seed, 7])
        found = {"users": users, "items": items}
        return {
            name: _fill_empty(found[name], lengths[name], generator)
            for name in ("users", "items")
            if name in lengths
        }


def _sums(matrix: Table, other: Table) -> Neighbours:
    """Sums of each row's neighbours, float32[stop - start, dim]."""

    def block(start: int, stop: int) -> NDArray[np.float32]:
        dense: NDArray[np.float32] = (matrix[start:stop] @ other).toarray().astype(np.float32)
        return dense

    return block


def _warm_rows(learnt: Table, neighbours: Neighbours, lengths: NDArray[np.int64]) -> Table:
    """Rows of ``lengths`` entries: learnt ones cut or widened, empty ones made from their neighbours."""
    n_rows = learnt.shape[0]
    columns, values = [], []
    for start in range(0, n_rows, ROWS_PER_BLOCK):
        stop = min(n_rows, start + ROWS_PER_BLOCK)
        own, near = learnt[start:stop].toarray(), neighbours(start, stop)
        near /= np.maximum(np.abs(near).max(axis=1, keepdims=True), 1e-12)
        # Learnt entries, by size, come before all others.
        keys = np.where(own != 0, 2 + np.abs(own), np.abs(near))
        block_lengths = lengths[start:stop]
        chosen = top_columns(keys, block_lengths)
        known = (np.diff(learnt.indptr)[start:stop] > 0)[:, None]
        row = np.repeat(np.arange(stop - start), block_lengths)
        columns.append(chosen)
        values.append(np.where(known, own, near)[row, chosen])
    row_start = np.concatenate([[0], np.cumsum(lengths)])
    table = Table((np.concatenate(values), np.concatenate(columns), row_start), shape=learnt.shape)
    return unit_rows(table)


def _fill_empty(table: Table, lengths: NDArray[np.int64], generator: np.random.Generator) -> Table:
    """Random entries for the rows that are all zero."""
    row = np.repeat(np.arange(table.shape[0]), lengths)
    size = np.bincount(row, weights=np.abs(table.data), minlength=table.shape[0])
    if (size > 0).all():
        return table
    empty = (size == 0)[row]
    drawn = random_shape(lengths, table.shape[1], generator)
    data = np.where(empty, drawn.data, table.data).astype(np.float32)
    return Table((data, np.where(empty, drawn.indices, table.indices), table.indptr), shape=table.shape)
