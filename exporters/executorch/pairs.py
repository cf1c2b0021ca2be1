"""The ExecuTorch program of a recommender whose scores are a network's output for each pair (NeuMF)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from sparsedevice.packing.pair_network import PairNetwork
from sparsedevice.packing.quantize import Rows

from ..padded_rows import pad_rows
from .methods import TOP_ROWS, Best


class Table(nn.Module):
    """Rows in blocks, as ``padded_rows.PaddedRows`` has them; int16 stands for uint16."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        found = pad_rows(rows, "executorch")
        columns = found.columns if found.columns.dtype == np.uint8 else found.columns.astype(np.int16)
        self.n_rows, self.dim = found.n_rows, rows.dim
        self.padded, self.width = found.scales.size, columns.shape[2]
        self.columns: Tensor
        self.values: Tensor
        self.scales: Tensor
        self.register_buffer("columns", torch.from_numpy(columns))
        self.register_buffer("values", torch.from_numpy(found.values))
        self.register_buffer("scales", torch.from_numpy(found.scales))


class PairFold(nn.Module):
    """``fold(total float64[dim], rows int64[64]) -> float64[dim]``: adds rows; those outside are ignored."""

    def __init__(self, table: Table, weights: np.ndarray | None) -> None:
        super().__init__()
        self.table = table
        self.weights: Tensor | None
        self.register_buffer("weights", None if weights is None else torch.from_numpy(weights))

    def forward(self, total: Tensor, rows: Tensor) -> Tensor:
        """See the class."""
        table = self.table
        safe = rows.clamp(0, table.n_rows - 1)
        columns = torch.index_select(table.columns.reshape(-1, table.width), 0, safe).to(torch.int64)
        values = torch.index_select(table.values.reshape(-1, table.width), 0, safe).to(torch.float64)
        weight = torch.index_select(table.scales.reshape(-1), 0, safe).to(torch.float64) * (safe == rows)
        if self.weights is not None:
            weight = weight * torch.index_select(self.weights, 0, safe)
        return total.scatter_add(0, columns.flatten(), (weight.unsqueeze(1) * values).flatten())


class PairUser(nn.Module):
    """``user(row int64[1]) -> float64[dim]``: a shipped user's row; one outside the table gives zeros."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.fold = PairFold(table, None)

    def forward(self, row: Tensor) -> Tensor:
        """See the class."""
        found: Tensor = self.fold(torch.zeros(self.fold.table.dim, dtype=torch.float64), row)
        return found


class PairTop(nn.Module):
    """``top(query float64[dim], eligible bool[padded]) -> rows int64[K], scores float32[K]``, best first.

    K and ties are as in ``methods.Top``. An entry is looked up once for all hidden units and the products:
    row c of a table [dim, h + 1] holds what column c adds to each.
    """

    def __init__(self, table: Table, network: PairNetwork) -> None:
        super().__init__()
        self.table = table
        g, self.hidden = len(network.gmf), len(network.bias)
        item, user = (np.zeros((network.dim, self.hidden), np.float32) for _ in range(2))
        item[g:], user[g:] = network.item.T, network.user.T
        gmf = np.concatenate((network.gmf, np.zeros(network.dim - g, np.float32)))
        self.size = min(TOP_ROWS, table.padded)
        self.best = Best()
        self.item: Tensor
        self.user: Tensor
        self.gmf: Tensor
        self.bias: Tensor
        self.second: Tensor
        self.second_bias: Tensor
        self.output: Tensor
        for name, array in (
            ("item", item),
            ("user", user),
            ("gmf", gmf),
            ("bias", network.bias),
            ("second", network.second.T),
            ("second_bias", network.second_bias),
            ("output", network.output.reshape(-1, 1)),
        ):
            self.register_buffer(name, torch.from_numpy(np.array(array, order="C")))

    def forward(self, query: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        norm = (query * query).sum().sqrt()
        vector = (query / torch.where(norm > 0, norm, 1.0)).to(torch.float32)
        asked = torch.mm(vector.unsqueeze(0), self.user) + self.bias
        table = torch.cat((self.item, (vector * self.gmf).unsqueeze(1)), 1)
        rows, width, hidden = self.table.columns.shape[1], self.table.width, self.hidden

        def step(carry: list[Tensor], block: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            columns, values, scales, allowed = block
            looked_up = torch.index_select(table, 0, columns.to(torch.int32).flatten())
            products = looked_up.reshape(rows, width, hidden + 1) * values.to(torch.float32).unsqueeze(2)
            sums = products.sum(1) * scales.unsqueeze(1)
            first = torch.relu(sums[:, :hidden] + asked)
            second = torch.relu(torch.mm(first, self.second) + self.second_bias)
            scores = (torch.mm(second, self.output) + sums[:, hidden:]).flatten()
            new = torch.where(allowed, scores, -torch.inf)
            rows_here = torch.arange(rows) + carry[2] * rows
            best = self.best(torch.cat((carry[0], new)), torch.cat((carry[1], rows_here)), self.size)
            return [*best, carry[2] + 1], [allowed[:1].clone()]

        start = [
            torch.full((self.size,), -torch.inf),
            torch.zeros(self.size, dtype=torch.int64),
            torch.zeros(1, dtype=torch.int64),
        ]
        stored = [self.table.columns, self.table.values, self.table.scales]
        (scores, found, _), _ = scan(step, start, [*stored, eligible.reshape(-1, rows)])
        return found, scores


def pair_methods(
    items: Rows, users: Rows | None, weights: np.ndarray | None, network: PairNetwork, fold_rows: int
) -> dict[str, tuple[nn.Module, tuple[Tensor, ...]]]:
    """The program's methods with inputs of their shapes; a matrix has the method of every program."""
    table = Table(items)
    total = torch.zeros(items.dim, dtype=torch.float64)
    found: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "fold": (PairFold(table, weights), (total, torch.zeros(fold_rows, dtype=torch.int64))),
        "top": (PairTop(table, network), (total, torch.ones(table.padded, dtype=torch.bool))),
    }
    if users is not None:
        found["user"] = (PairUser(Table(users)), (torch.zeros(1, dtype=torch.int64),))
    return found
