"""A model of clicks in numpy and float64, which artefacts are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scorer import ClickScorer
from .tables import ClickTables, DenseRows


class ClickReference(ClickScorer):
    """What an artefact's tables say, computed in float64 (``models.dlrm`` has the formulas)."""

    def __init__(self, tables: ClickTables) -> None:
        super().__init__(tables.schema)
        self._tables = tables
        rows = tables.rows
        if isinstance(rows, DenseRows):
            table = rows.values.astype(np.float64)
        else:
            table = np.zeros((len(rows.scales), rows.dim))
            owner = np.repeat(np.arange(len(rows.scales)), np.diff(rows.indptr))
            table[owner, rows.columns] = rows.values
        self._table = table * rows.scales[:, None]

    def logits(self, rows: NDArray[np.int64], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :meth:`ClickScorer.logits`."""
        tables = self._tables
        inside = (rows >= tables.first_rows) & (rows <= tables.last_rows)
        used = (rows >= 0) | tables.leading
        entries = self._table[np.where(inside, rows, tables.first_rows)] * used[:, :, None]
        member = (tables.slots == np.arange(len(tables.schema.categories))[:, None]).astype(np.float64)
        pooled = (member @ entries) / (used @ member.T)[:, :, None]
        if "constant" in tables.towers:
            bottom = np.tile(tables.towers["constant"].astype(np.float64), (len(rows), 1))
        else:
            bottom = numbers.astype(np.float64)
            for weight, bias in tables.layers("bottom"):
                bottom = np.maximum(bottom @ weight.T + bias, 0)
        vectors = np.concatenate((bottom[:, None], pooled), axis=1)
        products = (vectors @ vectors.transpose(0, 2, 1)).reshape(len(rows), -1)[:, tables.pairs]
        x = np.concatenate((bottom, products), axis=1)
        layers = tables.layers("top")
        for weight, bias in layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        weight, bias = layers[-1]
        result: NDArray[np.float32] = (x @ weight.T + bias)[:, 0].astype(np.float32)
        return result
