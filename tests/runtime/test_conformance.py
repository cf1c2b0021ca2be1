"""The backends of this package against the conformance suite."""

from __future__ import annotations

import pytest

from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.reference import NumpyRecommender
from tests.runtime.conformance import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_numpy(check, tmp_path):
    check(Subject(NumpyRecommender.open, tmp_path))


@pytest.mark.parametrize("kernel", ["scalar", "avx2", "avx512", "neon", "neon-dot"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_core(check, kernel, tmp_path):
    def open_(path):
        recommender = CoreRecommender.open(path)
        if kernel not in recommender.kernels:
            pytest.skip(f"this machine does not run the {kernel} kernel")
        recommender.kernel = kernel
        return recommender

    check(Subject(open_, tmp_path))
