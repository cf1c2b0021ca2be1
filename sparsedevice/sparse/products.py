"""Products of a step's users and items: by active entries where both are sparse, else of dense blocks.

Scores x_u · y_j and both their gradients are sums over the entries of sparse rows, a tenth or a quarter of
what dense rows need. On a processor C computes them (``csrc/sd_products.h``), a tile of 64 columns at a time:
each number is a sum in a fixed order, so that it has the same bits on any processor and with any number of
threads. On other devices, and where a table is dense, rows are expanded and multiplied by torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsedevice.sparse import _kernels
from sparsedevice.sparse.active import Active
from sparsedevice.sparse.table import SparseTable
from sparsedevice.sparse.threads import in_parts

# Above this share of active entries dense products are as fast.
MOST_ACTIVE = 0.25
# Column numbers are 16 bits wide in C.
WIDEST = 65535

Product = Callable[[Tensor, Tensor], Tensor]
# Rows of a step, each block with the place of its first row.
Blocks = list[tuple[int, Active]]
# Pointers int64[n + 1], columns uint16[nnz] and values float32[nnz]; or the same by column in strips.
Arrays = tuple[NDArray[np.int64], NDArray[np.uint16], NDArray[np.float32]]


class Rows(Protocol):
    """A table, as far as products read it."""

    dim: int

    @property
    def nnz(self) -> int: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    def expand(self, active: Active) -> Tensor: ...  # noqa: D102


class Products(Protocol):
    """The products of U users and J items."""

    def scores_(self, out: Tensor) -> None:
        """Products of all pairs, into float32[U, J]."""
        ...

    def user_gradient(self, slope: Tensor) -> Tensor:
        """Sums of the items' rows with weights ``slope`` float32[U, J]: float32[U, dim]."""
        ...

    def item_gradient(self, slope: Tensor, start: int, stop: int) -> Tensor:
        """Sums of the users' rows for items ``start`` to before ``stop``: float32[stop - start, dim]."""
        ...


def products_of(users: Rows, user_active: Active, items: Rows, blocks: Blocks, product: Product) -> Products:
    """The products of some users and of blocks of items, with the rows as they are now.

    Args:
        users: the users' table.
        user_active: entries of the users.
        items: the items' table.
        blocks: entries of the items.
        product: multiplies dense matrices.
    """
    if (
        isinstance(users, SparseTable)
        and isinstance(items, SparseTable)
        and users.device.type == "cpu"
        and users.dim <= WIDEST
        and max(users.nnz / users.n_rows, items.nnz / items.n_rows) <= MOST_ACTIVE * users.dim
    ):
        return SparseProducts(users, user_active, items, blocks)
    return DenseProducts(users, user_active, items, blocks, product)


class DenseProducts:
    """Rows are expanded, the items block by block, and multiplied; see ``Products``."""

    def __init__(
        self, users: Rows, user_active: Active, items: Rows, blocks: Blocks, product: Product
    ) -> None:
        self._x = users.expand(user_active)
        self._items = items
        self._blocks = blocks
        self._product = product

    def scores_(self, out: Tensor) -> None:
        """Products of all pairs, into float32[U, J]."""
        for start, active in self._blocks:
            stop = start + active.rows.numel()
            out[:, start:stop] = self._product(self._x, self._items.expand(active).T)

    def user_gradient(self, slope: Tensor) -> Tensor:
        """Sums of the items' rows with weights ``slope`` float32[U, J]: float32[U, dim]."""
        total = torch.zeros_like(self._x)
        for start, active in self._blocks:
            part = slope[:, start : start + active.rows.numel()]
            total += self._product(part, self._items.expand(active))
        return total

    def item_gradient(self, slope: Tensor, start: int, stop: int) -> Tensor:
        """Sums of the users' rows for items ``start`` to before ``stop``: float32[stop - start, dim]."""
        return self._product(slope[:, start:stop].T, self._x)


class SparseProducts:
    """Entries alone are multiplied; see ``Products``."""

    def __init__(self, users: SparseTable, user_active: Active, items: SparseTable, blocks: Blocks) -> None:
        self._dim = users.dim
        self._users = _arrays(users, [user_active])
        self._items = _arrays(items, [active for _, active in blocks])
        self._user_strips = _strips(self._users, self._dim)

    def scores_(self, out: Tensor) -> None:
        """Products of all pairs, into float32[U, J]."""
        found = out.numpy()

        def part(first: int, last: int) -> None:
            _kernels.row_products(*self._users, *self._items, self._dim, first, last, found)

        in_parts(_n_tiles(out.shape[1]), part)

    def user_gradient(self, slope: Tensor) -> Tensor:
        """Sums of the items' rows with weights ``slope`` float32[U, J]: float32[U, dim]."""
        strips = _strips(self._items, self._dim)
        return _weighted_sums(strips, slope.T, self._dim)

    def item_gradient(self, slope: Tensor, start: int, stop: int) -> Tensor:
        """Sums of the users' rows for items ``start`` to before ``stop``: float32[stop - start, dim]."""
        return _weighted_sums(self._user_strips, slope[:, start:stop], self._dim)


def _arrays(table: SparseTable, parts: list[Active]) -> Arrays:
    lengths = [
        np.full(part.rows.numel(), part.width)
        if part.width
        else np.bincount(part.local.numpy(), minlength=part.rows.numel())
        for part in parts
    ]
    columns = np.concatenate([part.take(table.columns).numpy() for part in parts])
    values = np.concatenate([part.take(table.values).numpy() for part in parts])
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    return pointers, columns.astype(np.uint16), values


def _strips(rows: Arrays, dim: int) -> Arrays:
    n_strips = -(-(len(rows[0]) - 1) // _kernels.STRIP)
    strips = (np.zeros(n_strips * dim + 1, np.int64), np.zeros_like(rows[1]), np.zeros_like(rows[2]))
    _kernels.strips(*rows, dim, *strips)
    return strips


def _weighted_sums(strips: Arrays, weights: Tensor, dim: int) -> Tensor:
    """Sums of n rows with ``weights`` float32[n, m], of any strides: float32[m, dim]."""
    n, m = weights.shape
    out = torch.empty(m, dim)
    found = out.numpy()
    # The buffer is what lies between the first and the last weight.
    extent = (n - 1) * weights.stride(0) + (m - 1) * weights.stride(1) + 1
    flat = weights.as_strided((extent,), (1,)).numpy()

    def part(first: int, last: int) -> None:
        _kernels.weighted_sums(
            *strips, n, dim, flat, weights.stride(0), weights.stride(1), m, first, last, found
        )

    in_parts(_n_tiles(m), part)
    return out


def _n_tiles(n: int) -> int:
    return -(-n // _kernels.TILE)
