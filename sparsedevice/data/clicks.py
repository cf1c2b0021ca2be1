"""Click logs: rows of categories and numbers with a binary label, and their split by row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.log import PARTS
from sparsedevice.errors import DataError


@dataclass(frozen=True, eq=False)
class CategoryColumn:
    """One categorical column as it was read.

    Attributes:
        name: of the column.
        index: position in ``values``, int32[n, slots]; -1 fills the slots that a row does not use.
        values: the distinct categories.
    """

    name: str
    index: NDArray[np.int32]
    values: Sequence[str]


@dataclass(frozen=True, eq=False)
class ClickLog:
    """A source as it was read, before the split.

    Attributes:
        label: 0 or 1, uint8[n].
        categories: the categorical columns.
        number_names: names of the numeric columns.
        numbers: float64[n, number of numeric columns], NaN where missing.
        part: int8[n], the position of each row's part in ``PARTS``, or None where there are no parts.
    """

    label: NDArray[np.uint8]
    categories: tuple[CategoryColumn, ...]
    number_names: tuple[str, ...]
    numbers: NDArray[np.float64]
    part: NDArray[np.int8] | None = None


@dataclass(frozen=True)
class CategoryField:
    """A categorical field of a model.

    Attributes:
        name: of the column.
        values: known categories; the table's row ``first_row + 1 + i`` is ``values[i]``. Row ``first_row`` is
            shared by every category that training did not see, or saw too seldom.
        first_row: first row of the field in the one table of all fields.
        slots: most categories that one row of the log has in this field.
    """

    name: str
    values: tuple[str, ...]
    first_row: int
    slots: int


@dataclass(frozen=True)
class NumberField:
    """A numeric field: sign(x)·log(1+|x|), then standardised by training's mean and deviation."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class ClickSchema:
    """What the columns of a click log mean to a model."""

    categories: tuple[CategoryField, ...]
    numbers: tuple[NumberField, ...]

    @property
    def n_rows(self) -> int:
        """Rows of the one embedding table of all fields."""
        return sum(1 + len(field.values) for field in self.categories)

    def to_json(self) -> dict[str, Any]:
        """The schema as a JSON object."""
        return {
            "categories": [{**vars(field), "values": list(field.values)} for field in self.categories],
            "numbers": [dict(vars(field)) for field in self.numbers],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ClickSchema:
        """The schema from the object that ``to_json`` made."""
        return cls(
            tuple(
                CategoryField(str(f["name"]), tuple(f["values"]), int(f["first_row"]), int(f["slots"]))
                for f in value["categories"]
            ),
            tuple(
                NumberField(str(f["name"]), float(f["mean"]), float(f["deviation"])) for f in value["numbers"]
            ),
        )


@dataclass(frozen=True, eq=False)
class Clicks:
    """Rows that a model can read.

    Attributes:
        label: 0 or 1, uint8[n].
        rows: rows of the embedding table, int32[n, total slots], the fields' slots side by side; -1 fills
            slots that are not used. The first slot of a field is always used.
        numbers: float32[n, number of numeric fields], standardised, 0 where missing.
    """

    label: NDArray[np.uint8]
    rows: NDArray[np.int32]
    numbers: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, eq=False)
class ClickSplit:
    """Train, validation and test rows over one schema, which train alone has made."""

    train: Clicks
    validation: Clicks | None
    test: Clicks | None
    schema: ClickSchema
    rule: str

    def fingerprint(self) -> str:
        """Hex sha256 over labels, categories and numbers of all parts."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for array in () if part is None else (part.label, part.rows, part.numbers):
                digest.update(np.ascontiguousarray(array).data)
            digest.update(b"|")
        return digest.hexdigest()


def join_clicks(logs: Sequence[tuple[int, ClickLog]]) -> ClickLog:
    """One log of several files with the same columns, each with its position in ``PARTS``."""
    if len(logs) == 1:
        return logs[0][1]
    first = logs[0][1]
    columns = []
    for place, column in enumerate(first.categories):
        values: dict[str, int] = {}
        parts = [log.categories[place] for _, log in logs]
        slots = max(part.index.shape[1] for part in parts)
        index = []
        for part in parts:
            # One more entry at the end: the pad -1 stays -1.
            row = np.array([*(values.setdefault(v, len(values)) for v in part.values), -1], np.int32)
            index.append(
                np.pad(row[part.index], ((0, 0), (0, slots - part.index.shape[1])), constant_values=-1)
            )
        columns.append(CategoryColumn(column.name, np.concatenate(index), list(values)))
    return ClickLog(
        np.concatenate([log.label for _, log in logs]),
        tuple(columns),
        first.number_names,
        np.concatenate([log.numbers for _, log in logs]),
        np.repeat(np.array([part for part, _ in logs], np.int8), [len(log.label) for _, log in logs]),
    )


def split_clicks(log: ClickLog, options: ClickOptions) -> ClickSplit:
    """Split by row, and number the categories by what train holds.

    Raises:
        DataError: if a part would be empty or train's labels are all the same.
    """
    part, rule = _assign(log, options)
    train = part == 0
    n_train = int(train.sum())
    if n_train == 0 or len(np.unique(log.label[train])) < 2:
        raise DataError(
            f"train holds {n_train:,} rows and {len(np.unique(log.label[train]))} kind(s) of label; "
            "clicks (1) and other rows (0) are both needed"
        )
    fields, rows, first_row = [], [], 0
    for column in log.categories:
        field, field_rows = _number(column, train, options.min_count, first_row)
        fields.append(field)
        rows.append(field_rows)
        first_row += 1 + len(field.values)
    numbers, number_fields = _standardise(log, train)
    all_rows = np.concatenate(rows, axis=1) if rows else np.zeros((len(part), 0), np.int32)

    def of(number: int) -> Clicks | None:
        mask = part == number
        return Clicks(log.label[mask], all_rows[mask], numbers[mask]) if mask.any() else None

    train_part = of(0)
    assert train_part is not None
    return ClickSplit(train_part, of(1), of(2), ClickSchema(tuple(fields), number_fields), rule)


def _assign(log: ClickLog, options: ClickOptions) -> tuple[NDArray[np.int8], str]:
    n = len(log.label)
    present = set() if log.part is None else {PARTS[number] for number in np.unique(log.part)}
    given = options.split == "given" or (options.split == "auto" and {"train", "test"} <= present)
    order = np.random.default_rng([options.seed, 0]).permutation(n)
    if not given:
        part = np.zeros(n, np.int8)
        n_test, n_validation = round(n * options.test_fraction), round(n * options.validation_fraction)
        part[order[:n_test]] = 2
        part[order[n_test : n_test + n_validation]] = 1
        rule = (
            f"random by row, {options.test_fraction:.3g} test, {options.validation_fraction:.3g} validation, "
            f"seed {options.seed}"
        )
        return part, rule
    if log.part is None or "train" not in present:
        raise DataError("the source has no train part of its own; choose split 'random'")
    part = log.part.copy()
    if "validation" in present or not options.validation_fraction:
        return part, "given"
    train_rows = order[part[order] == 0]
    part[train_rows[: round(len(train_rows) * options.validation_fraction)]] = 1
    return part, f"given, {options.validation_fraction:.3g} of train for validation, seed {options.seed}"


def _number(
    column: CategoryColumn, train: NDArray[np.bool_], min_count: int, first_row: int
) -> tuple[CategoryField, NDArray[np.int32]]:
    """Rows of the table for one column; categories that are rare in train get the field's first row."""
    used = column.index[train]
    count = np.bincount(used[used >= 0], minlength=len(column.values))
    known = count >= min_count
    # The last entry serves the pad -1.
    row = np.full(len(column.values) + 1, first_row, np.int32)
    row[:-1][known] = first_row + 1 + np.arange(int(known.sum()), dtype=np.int32)
    row[-1] = -1
    rows = row[column.index]
    rows[:, 0] = np.where(rows[:, 0] < 0, first_row, rows[:, 0])
    values = tuple(value for value, keep in zip(column.values, known, strict=True) if keep)
    return CategoryField(column.name, values, first_row, rows.shape[1]), rows


def _standardise(
    log: ClickLog, train: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], tuple[NumberField, ...]]:
    small = np.sign(log.numbers) * np.log1p(np.abs(log.numbers))
    fields = []
    for place, name in enumerate(log.number_names):
        known = small[train, place]
        known = known[~np.isnan(known)]
        mean, deviation = (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
        fields.append(NumberField(name, mean, deviation if deviation > 0 else 1.0))
        small[:, place] = (small[:, place] - mean) / fields[-1].deviation
    return np.nan_to_num(small, nan=0.0).astype(np.float32), tuple(fields)
