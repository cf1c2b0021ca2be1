"""What every artefact of a model of clicks answers: the probability of a click."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.clicks import Clicks, ClickSchema
from sparsedevice.errors import ConfigError


class ClickScorer(ABC):
    """A model of clicks in some runtime.

    Attributes:
        schema: the fields of an example.
    """

    def __init__(self, schema: ClickSchema) -> None:
        self.schema = schema

    @abstractmethod
    def logits(self, rows: NDArray[np.int64], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-odds of a click, float32[n].

        Args:
            rows: rows of the table of all fields, int64[n, slots], the fields' slots side by side. A number
                that is not a row of its field stands for the field's unknown categories; a negative one
                leaves its slot unused, unless it is the field's first.
            numbers: standardised, 0 where missing, float32[n, numeric fields].
        """

    def probability(self, examples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Probability of a click, float64[n].

        Args:
            examples: for each a mapping from field to value: a category, a list of categories, or a number.
                What is missing or None is unknown; so is a category that training did not see.

        Raises:
            ConfigError: if a field is unknown, a value is no number, or a list is longer than training's.
        """
        logits = self.logits(*encode(self.schema, examples)).astype(np.float64)
        # e^-|x| never overflows.
        small = np.exp(-np.abs(logits))
        chance: NDArray[np.float64] = np.where(logits >= 0, 1.0, small) / (1.0 + small)
        return chance

    def score(self, part: Clicks, batch_rows: int = 1024) -> NDArray[np.float32]:
        """Log-odds of every row of a part, float32[n]."""
        found = [np.empty(0, np.float32)]
        for first in range(0, len(part), batch_rows):
            batch = slice(first, first + batch_rows)
            found.append(self.logits(part.rows[batch].astype(np.int64), part.numbers[batch]))
        return np.concatenate(found)


def encode(
    schema: ClickSchema, examples: Sequence[Mapping[str, Any]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows int64[n, slots] and standardised numbers float32[n, numeric fields] of examples by field.

    Raises:
        ConfigError: see :meth:`ClickScorer.probability`.
    """
    known = {field.name for field in schema.categories} | {field.name for field in schema.numbers}
    rows = np.full((len(examples), sum(field.slots for field in schema.categories)), -1, np.int64)
    numbers = np.zeros((len(examples), len(schema.numbers)), np.float32)
    for place, example in enumerate(examples):
        unknown = next((name for name in example if name not in known), None)
        if unknown is not None:
            raise ConfigError(
                f"example {place} has a field {unknown!r}; the model knows {', '.join(sorted(known))}"
            )
    start = 0
    for field in schema.categories:
        row_of = {value: field.first_row + 1 + i for i, value in enumerate(field.values)}
        for place, example in enumerate(examples):
            given = _listed(example.get(field.name))
            if len(given) > field.slots:
                raise ConfigError(
                    f"example {place} has {len(given)} categories of {field.name!r}; in training one had at"
                    f" most {field.slots}: leave out the rest"
                )
            wanted = [row_of.get(value, field.first_row) for value in given] or [field.first_row]
            rows[place, start : start + len(wanted)] = wanted
        start += field.slots
    for column, number in enumerate(schema.numbers):
        for place, example in enumerate(examples):
            value = _number(example.get(number.name), place, number.name)
            if not math.isnan(value):
                small = math.copysign(math.log1p(abs(value)), value)
                numbers[place, column] = (small - number.mean) / number.deviation
    return rows, numbers


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]


def _number(value: Any, place: int, name: str) -> float:
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"example {place} has {value!r} for {name!r}, which is not a number") from error
    if math.isinf(number):
        raise ConfigError(f"example {place} has {value!r} for {name!r}; numbers are finite")
    return number
