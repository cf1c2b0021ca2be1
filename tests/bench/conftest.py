"""Bundles that the tests of the benchmark measure."""

from __future__ import annotations

import pytest

from sparsedevice.exporters import export
from tests.exporters.tiny import tiny_run


@pytest.fixture(scope="session")
def packed_bundle(tmp_path_factory):
    """A bundle of the packed target, with users."""
    return export(tiny_run(), "packed", tmp_path_factory.mktemp("packed") / "bundle", users=True, k=5)
