"""Queries of many histories at once against those of the reference backend, one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.packing import FoldIn, PackedFile, Ridge, Steps, pack
from sparsedevice.runtime.reference import NumpyRecommender

N, DIM = 90, 12
RULES = {"sum": None, "ridge": Ridge(0.7, 5), "steps": Steps(4, 32, 1.5, 6.0, 1.25)}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_blocks_are_the_reference(rule, mixed, weighted, tmp_path):
    rng = np.random.default_rng(4)
    # Rows of one length: the file then keeps their order, and the steps sample the same ones.
    columns = np.sort(np.argsort(rng.random((N, DIM)), axis=1)[:, :5], axis=1)
    items = sp.csr_array(
        (rng.normal(size=5 * N).astype(np.float32), columns.ravel(), 5 * np.arange(N + 1)), shape=(N, DIM)
    )
    root = rng.normal(size=(DIM, DIM)) / 3
    fold_in = FoldIn(
        (rng.random(N) + 0.2).astype(np.float32) if weighted else None,
        (root @ root.T).astype(np.float32) if mixed else None,
        RULES[rule],
    )
    pack(tmp_path / "a.sd", items, item_ids=[str(i) for i in range(N)], values="f32", fold_in=fold_in)
    reference = NumpyRecommender(PackedFile.open(tmp_path / "a.sd"))
    histories = sp.csr_array(rng.random((20, N)) < rng.random((20, 1)) / 3)
    histories = sp.csr_array(sp.vstack((histories, sp.csr_array((1, N), dtype=bool))))
    got = folded_queries(items, "cosine", fold_in, histories)(np.arange(21))
    for user in range(21):
        history = histories.indices[histories.indptr[user] : histories.indptr[user + 1]]
        wanted = reference.fold_in(history.astype(np.int32)).vector
        np.testing.assert_allclose(got[user], wanted, atol=2e-5)
    assert not got[20].any()
