"""The ES module in Node, with and without SIMD, against the conformance suite of all backends."""

from __future__ import annotations

import pytest

from tests.runtime.conformance import CHECKS, Subject
from tests.web.module_recommender import ModuleRecommender, NodeModule


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("simd", [False, True], ids=["scalar", "simd"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_node(check, simd, assets, tmp_path):
    module = NodeModule(assets)

    def open_(path):
        recommender = ModuleRecommender(module.send, str(path), simd=simd)
        assert recommender.info["kernel"] == ("wasm-simd" if simd else "scalar")
        return recommender

    try:
        check(Subject(open_, tmp_path))
    finally:
        module.close()
