"""What a reader returns: the whole log over one pair of vocabularies, and the parts the source came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparsedevice.data.interactions import Interactions

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Log:
    """A source as it was read, before filters and splits.

    Attributes:
        interactions: every interaction, all parts one after the other.
        part: int8[n], the position of each interaction's part in ``PARTS``, or None where there are no parts.
        files: names of the files read, for messages.
    """

    interactions: Interactions
    part: NDArray[np.int8] | None
    files: tuple[str, ...]

    def select(self, rows: NDArray[np.bool_]) -> Log:
        """The interactions of a bool[n] mask; the vocabularies keep only ids that still occur."""
        kept = self.interactions.select(rows).compact()
        return Log(kept, None if self.part is None else self.part[rows], self.files)
