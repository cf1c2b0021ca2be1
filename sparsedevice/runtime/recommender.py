"""The one interface of every backend: the C core, numpy, onnxruntime, ExecuTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError

#: ``"seen"``, ``"none"``, or ids to leave out as well as the seen ones.
Exclude = Literal["seen", "none"] | Sequence[str | int]


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Items in order, best first; equal scores in row order.

    Attributes:
        items: ids.
        scores: float32[len(items)].
        rows: int32[len(items)], rows of the packed file.
        unknown: ids of history, exclude and candidates that the file does not know, in the order given.
        titles: by position, "" where unknown; None where the file has no titles.
    """

    items: list[str]
    scores: NDArray[np.float32]
    rows: NDArray[np.int32]
    unknown: list[str]
    titles: list[str] | None = None

    def __len__(self) -> int:
        return len(self.items)


class Recommender(ABC):
    """Recommends from one packed file. Many threads may call one object at once."""

    @abstractmethod
    def recommend(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        k: int = 10,
        exclude: Exclude = "seen",
        candidates: Sequence[str | int] | None = None,
    ) -> Recommendations:
        """The k best items, exactly k while k eligible items exist.

        Args:
            history: item ids, each counted once; folded in on the spot. An empty history scores all
                items 0.
            user: a user whose row the file ships; either this or ``history``.
            k: how many, 1 or more.
            exclude: ``"seen"`` leaves out the history, and for a user the seen list of the file;
                ``"none"`` leaves out nothing; a list of ids leaves out those and the seen ones.
            candidates: only these items are eligible; None means all.

        Raises:
            ConfigError: if k is below 1, or not exactly one of history and user is given.
            UnknownIdError: if the user is not in the file.
        """

    @abstractmethod
    def lookup(self, ids: Sequence[str | int]) -> sp.csr_array:
        """Dequantised item rows, float32 CSR [len(ids), dim].

        Raises:
            UnknownIdError: if an id is not in the file.
        """

    @abstractmethod
    def score(
        self,
        *,
        history: Sequence[str | int] | None = None,
        user: str | int | None = None,
        items: Sequence[str | int],
    ) -> NDArray[np.float32]:
        """Scores of the given items, float32[len(items)].

        Raises:
            ConfigError: if not exactly one of history and user is given.
            UnknownIdError: if the user or one of the items is not in the file.
        """

    @abstractmethod
    def similar(self, item: str | int, k: int = 10) -> Recommendations:
        """The k items most like ``item``, which is itself left out.

        Raises:
            ConfigError: if k is below 1.
            UnknownIdError: if the item is not in the file.
        """


def check_k(k: int) -> int:
    """A number of results that can be asked for.

    Raises:
        ConfigError: if k is not an integer of 1 or more.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ConfigError(f"k is {k!r}; ask for 1 or more results")
    return int(k)


def check_query(history: Sequence[str | int] | None, user: str | int | None) -> None:
    """One of history and user.

    Raises:
        ConfigError: if both or neither are given, or the history is one string.
    """
    if (history is None) == (user is None):
        raise ConfigError("give either a history or a user")
    check_ids("history", history)


def check_ids(name: str, ids: Sequence[str | int] | None) -> None:
    """A list of ids, not one string, which would be read as its letters.

    Raises:
        ConfigError: if ``ids`` is a string.
    """
    if isinstance(ids, (str, bytes)):
        raise ConfigError(f"{name} is {ids!r}; give a list of ids")
