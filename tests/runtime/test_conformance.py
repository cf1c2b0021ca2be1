"""The backends of this package against the conformance suite."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import pytest

from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.reference import NumpyRecommender
from tests.packing.small import write_small
from tests.runtime.conformance import CHECKS, Subject


def kernels() -> list[str]:
    """The kernels of this machine; those of others run under emulation."""
    with tempfile.TemporaryDirectory() as folder:
        write_small(Path(folder) / "small.sd")
        return CoreRecommender.open(Path(folder) / "small.sd").kernels


def test_the_machine_has_its_kernels():
    machine = platform.machine()
    expected = {"x86_64": {"scalar", "avx2", "avx512"}, "aarch64": {"scalar", "neon", "neon-dot"}}
    assert "scalar" in kernels()
    assert set(kernels()) <= expected.get(machine, {"scalar"})
    assert machine != "aarch64" or "neon" in kernels()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_numpy(check, tmp_path):
    check(Subject(NumpyRecommender.open, tmp_path))


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_core(check, kernel, tmp_path):
    def open_(path):
        recommender = CoreRecommender.open(path)
        recommender.kernel = kernel
        return recommender

    check(Subject(open_, tmp_path))
