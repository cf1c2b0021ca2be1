"""Models of clicks made by hand: random numbers in every shape that training ends with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from sparsedevice.click_run import ClickRun
from sparsedevice.data.clicks import CategoryField, Clicks, ClickSchema, NumberField
from sparsedevice.training.click_config import ClickConfig

WORLDS = ("sparse", "dense", "no numbers", "single slots", "pruned")


def click_run(world: str = "sparse", n_rows: int = 300, seed: int = 0) -> ClickRun:
    """A run with a test part; "pruned" has towers whose layers have lost neurons, each a different share."""
    rng = np.random.default_rng(seed)
    slots = (1, 1, 1) if world == "single slots" else (1, 3, 2)
    sizes = (12, 30, 5)
    firsts = (0, 13, 44)
    categories = tuple(
        CategoryField(f"field {i}", tuple(f"v{i}.{j}" for j in range(size)), first, slot)
        for i, (size, first, slot) in enumerate(zip(sizes, firsts, slots, strict=True))
    )
    numbers = () if world == "no numbers" else (NumberField("price", 0.5, 2.0), NumberField("age", 3.0, 0.7))
    schema = ClickSchema(categories, numbers)
    dim = 5 if world == "pruned" else 8
    table = rng.standard_normal((schema.n_rows, dim)).astype(np.float32)
    lengths = rng.integers(0, 4, schema.n_rows)
    kept = np.argsort(rng.random(table.shape), axis=1) < lengths[:, None]
    whole = world in ("dense", "pruned")
    pairs = 4 * 3 // 2
    hidden = {"bottom": (3,), "top": (7, 2)} if world == "pruned" else {"bottom": (6,), "top": (9, 4)}
    towers = {}
    shapes = {"top": (dim + pairs, *hidden["top"], 1)}
    if numbers:
        shapes["bottom"] = (2, *hidden["bottom"], dim)
    else:
        towers["constant"] = rng.standard_normal(dim).astype(np.float32)
    for tower, widths in shapes.items():
        for n, (n_in, n_out) in enumerate(pairwise(widths)):
            towers[f"{tower}.{n}.weight"] = rng.standard_normal((n_out, n_in)).astype(np.float32)
            towers[f"{tower}.{n}.bias"] = rng.standard_normal(n_out).astype(np.float32)
    return ClickRun(
        ClickConfig(dim=dim),
        schema,
        table if whole else sp.csr_array(table * kept),
        towers,
        None,
        _part(rng, schema, n_rows),
        {"test": {"auc": 0.5, "log_loss": 0.7}},
        {"data": "by hand", "split": "all is test", "fingerprint": "0" * 64},
    )


def _part(rng: np.random.Generator, schema: ClickSchema, n: int) -> Clicks:
    columns = []
    for field in schema.categories:
        rows = field.first_row + rng.integers(0, 1 + len(field.values), (n, field.slots))
        rows[:, 1:][rng.random((n, field.slots - 1)) < 0.4] = -1
        columns.append(rows)
    return Clicks(
        rng.integers(0, 2, n).astype(np.uint8),
        np.concatenate(columns, axis=1).astype(np.int32),
        rng.standard_normal((n, len(schema.numbers))).astype(np.float32),
    )
