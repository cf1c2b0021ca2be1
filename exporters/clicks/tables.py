"""The numbers of a model of clicks as artefacts store them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.click_run import ClickRun
from sparsedevice.data.clicks import ClickSchema
from sparsedevice.errors import ConfigError
from sparsedevice.packing.format import Values
from sparsedevice.packing.quantize import Rows, quantize

#: Codings of the table's values; the towers are small and stay float32.
CLICK_VALUES: tuple[Values, ...] = ("f32", "f16", "int8")


@dataclass(frozen=True, eq=False)
class DenseRows:
    """A table of which every entry is stored.

    Attributes:
        values: float32, float16 or int8 [n, dim].
        scales: float32[n], what a row is multiplied by.
    """

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Columns of the table."""
        return int(self.values.shape[1])


@dataclass(frozen=True, eq=False)
class ClickTables:
    """A model of clicks, ready to be written.

    Attributes:
        schema: the fields.
        rows: one table for all fields: entries that are not zero, or all of them where that is most.
        towers: values of the towers' parameters by name, float32 (see ``models.dlrm``).
        values: coding of the table's values.
    """

    schema: ClickSchema
    rows: Rows | DenseRows
    towers: dict[str, NDArray[np.float32]]
    values: Values

    def layers(self, tower: str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Weight [out, in] and bias [out] of a tower's layers, first to last."""
        names: list[str] = []
        while f"{tower}.{len(names)}.weight" in self.towers:
            names.append(f"{tower}.{len(names)}")
        return [(self.towers[f"{name}.weight"], self.towers[f"{name}.bias"]) for name in names]

    @property
    def slots(self) -> NDArray[np.int64]:
        """Field of each slot of an example, int64[slots]."""
        return np.repeat(np.arange(len(self.schema.categories)), [f.slots for f in self.schema.categories])

    @property
    def first_rows(self) -> NDArray[np.int64]:
        """First row of each slot's field, which unknown categories share, int64[slots]."""
        return np.array([field.first_row for field in self.schema.categories], np.int64)[self.slots]

    @property
    def last_rows(self) -> NDArray[np.int64]:
        """Last row of each slot's field, int64[slots]."""
        fields = self.schema.categories
        return np.array([field.first_row + len(field.values) for field in fields], np.int64)[self.slots]

    @property
    def leading(self) -> NDArray[np.bool_]:
        """Whether a slot is the first of its field, which is always used, bool[slots]."""
        fields = self.slots
        return np.concatenate(([True], fields[1:] != fields[:-1]))

    @property
    def pairs(self) -> NDArray[np.int64]:
        """Places of the products of two vectors among all (fields + 1)² of them, int64[pairs]."""
        n = len(self.schema.categories) + 1
        row, column = np.tril_indices(n, -1)
        return row * n + column


def click_tables(run: ClickRun, values: str = "f32") -> ClickTables:
    """The numbers of a run, quantised.

    Args:
        run: the trained model.
        values: coding of the table's values; int8 has a scale a row.

    Raises:
        ConfigError: if the coding is not one for models of clicks, or a value is not finite.
    """
    if values not in get_args(Values) or values not in CLICK_VALUES:
        raise ConfigError(
            f"models of clicks are not exported with {values!r} values; use one of {', '.join(CLICK_VALUES)}"
        )
    dense = isinstance(run.table, np.ndarray)
    rows: Rows | DenseRows = quantize(sp.csr_array(run.table), values, "dot", name="category")
    assert isinstance(rows, Rows)
    if dense:
        owner = np.repeat(np.arange(len(rows.scales)), np.diff(rows.indptr))
        every = np.zeros(run.table.shape, rows.values.dtype)
        every[owner, rows.columns] = rows.values
        rows = DenseRows(every, rows.scales)
    return ClickTables(run.schema, rows, run.towers, values)
