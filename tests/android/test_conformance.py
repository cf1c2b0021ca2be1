"""The Java library, in pure Java and over the C core, against the conformance suite of all backends."""

from __future__ import annotations

import pytest

from tests.android.jvm import JvmRecommender
from tests.runtime.conformance import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_java(check, engine, tmp_path):
    process, name = engine

    def open_(path):
        recommender = JvmRecommender(process, path, name)
        assert recommender.engine.startswith(name.lower())
        return recommender

    check(Subject(open_, tmp_path))
