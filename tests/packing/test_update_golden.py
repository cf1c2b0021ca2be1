"""A delta and a compact file in tests/golden: written once, read to the same bytes for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparsedevice.packing import FoldIn, Ridge, expand, pack, patch
from tests.packing.small import DIM, N_ITEMS, N_USERS, small_tables

GOLDEN = Path(__file__).parents[1] / "golden"
BASE = "v1-int8-sliced-cosine.sd"


def write_changed(path: Path) -> None:
    """The small file of the other golden files with something changed in each section."""
    items, users, seen = small_tables()
    kept = np.arange(3, N_ITEMS)
    items = sp.csr_array(sp.vstack((items[kept], items[[8, 13]])))
    items.data[:9] += 2
    seen = sp.csr_array(sp.hstack((seen[:, kept], sp.csr_array(np.eye(N_USERS, 2, dtype=bool)))))
    weights = (1 + np.arange(items.shape[0]) % 2).astype(np.float32)
    pack(
        path,
        items,
        item_ids=[*(f"item-{i}" for i in kept), "new", ""],
        titles=[*("" if i % 4 == 0 else f"Größe {i} 名" for i in kept), "Neu", ""],
        users=users,
        user_ids=[str(99 - i) for i in range(N_USERS)],
        seen=seen,
        fold_in=FoldIn(weights, (2 * np.eye(DIM)).astype(np.float32), Ridge(1.5, 5)),
        metadata={"model": "mf", "note": "changed"},
    )


def test_golden_delta(tmp_path):
    write_changed(tmp_path / "new.sd")
    assert patch(GOLDEN / BASE, GOLDEN / "v1.sdd", tmp_path / "patched.sd")["kind"] == "delta"
    assert (tmp_path / "patched.sd").read_bytes() == (tmp_path / "new.sd").read_bytes()


def test_golden_compact(tmp_path):
    assert expand(GOLDEN / "v1.sdz", tmp_path / "expanded.sd")["kind"] == "compact"
    assert (tmp_path / "expanded.sd").read_bytes() == (GOLDEN / BASE).read_bytes()
