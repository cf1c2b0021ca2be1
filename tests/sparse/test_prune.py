from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from sparsedevice.sparse.prune import magnitude_prune


@pytest.mark.parametrize("floor", [1, 2, 3])
def test_pruning_keeps_the_floor_of_each_row_and_then_the_largest(floor: int) -> None:
    dense = np.random.default_rng(0).standard_normal((12, 9)).astype(np.float32)
    dense[0] *= 10
    pruned = magnitude_prune(scipy.sparse.csr_array(dense), 36, floor)
    assert pruned.nnz == 36
    kept = pruned.toarray() != 0
    protected = np.zeros_like(kept)
    np.put_along_axis(protected, np.argsort(-np.abs(dense), axis=1)[:, :floor], True, axis=1)
    assert kept[protected].all()
    free_kept, free_cut = np.abs(dense)[kept & ~protected], np.abs(dense)[~kept]
    assert len(free_kept) == 0 or free_kept.min() >= free_cut.max()
    np.testing.assert_allclose(np.linalg.norm(pruned.toarray(), axis=1), 1, rtol=1e-5)
