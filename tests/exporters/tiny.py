"""A run made by hand: two tastes, so that the right answers are known."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from sparsedevice.data import Interactions, Split
from sparsedevice.packing import FoldIn
from sparsedevice.run import Run
from sparsedevice.training.config import TrainConfig
from sparsedevice.vocabulary import Vocabulary

N_USERS, N_ITEMS, DIM = 12, 30, 5


def tiny_run(*, test: bool = True, users: bool = True) -> Run:
    """Even users like even items: rows have a part for their parity and a small one of their own."""
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(N_USERS) for i in range(N_ITEMS) if u % 2 == i % 2]
    held_out = [(u, i) for u, i in pairs if (u + i) % 3 == 0]
    kept = [pair for pair in pairs if pair not in held_out]
    user_ids = Vocabulary([f"user {u}" for u in range(N_USERS)])
    item_ids = Vocabulary([f"item-{i}" for i in range(N_ITEMS)])
    titles = [f"Film {i} é" for i in range(N_ITEMS)]

    def part(chosen: list[tuple[int, int]]) -> Interactions:
        users_, items_ = np.array(chosen, np.int32).T
        return Interactions(users_, items_, user_ids, item_ids, None, None, titles)

    split = Split(part(kept), None, part(held_out) if test else None, "every third pair is test")
    return Run(
        config=TrainConfig(dim=DIM, epochs=1, threads=1),
        items=_rows(rng, N_ITEMS),
        users=_rows(rng, N_USERS) if users else None,
        split=split,
        similarity="cosine",
        fold_in=FoldIn(rng.random(N_ITEMS).astype(np.float32) + 0.5, None),
        metrics={},
        source={"data": "by hand", "options": {}, "fingerprint": split.fingerprint()},
    )


def _rows(rng: np.random.Generator, n: int) -> sp.csr_array:
    own = 2 + rng.integers(0, DIM - 2, n)
    columns = np.stack((np.arange(n) % 2, own), axis=1).astype(np.int32)
    values = np.stack((np.ones(n), 0.3 * rng.random(n) + 0.05), axis=1).astype(np.float32)
    return sp.csr_array((values.ravel(), columns.ravel(), 2 * np.arange(n + 1)), shape=(n, DIM))
