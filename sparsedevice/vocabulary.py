"""The ids of users or items, and their row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import UnknownIdError


class Vocabulary:
    """Distinct ids in row order. Ids are strings; integer ids are kept as their decimal form.

    Attributes:
        ids: the ids; ``ids[row]`` is the id of that row.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids: Sequence[str] = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and list(self.ids) == list(other.ids)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} ids)"

    def row(self, id_: str | int) -> int:
        """Row of one id.

        Raises:
            UnknownIdError: if the id is not in the vocabulary.
        """
        try:
            return self._rows[str(id_)]
        except KeyError:
            raise UnknownIdError(f"unknown id {id_!r}: it was not in the training data") from None

    def rows(self, ids: Iterable[str | int]) -> NDArray[np.int32]:
        """Rows of many ids, int32[n], with -1 for each id that is not known."""
        return np.fromiter((self._rows.get(str(i), -1) for i in ids), dtype=np.int32)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}
