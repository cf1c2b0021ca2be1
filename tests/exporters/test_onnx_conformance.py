"""onnxruntime against the conformance suite: one graph, by standard operators and by the core."""

from __future__ import annotations

import hashlib

import pytest

from sparsedevice.exporters.onnx import open_artefact, write_bitmap, write_onnx
from sparsedevice.exporters.onnx.native import open_native, write_operator
from sparsedevice.packing import PackedFile
from tests.runtime.conformance import CHECKS, Subject, everything

OPENERS = {"onnx": open_artefact, "onnx-native": open_native, "bitmap": open_artefact}


@pytest.fixture(scope="module")
def open_with(tmp_path_factory):
    """Opens a packed file with a backend; equal files have one graph, which both backends run."""
    folder = tmp_path_factory.mktemp("artefacts")
    known = {}

    def open_(backend, path):
        place = folder / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        key = (backend, place)
        if key not in known:
            packed = PackedFile.open(path)
            if backend == "bitmap":
                place /= "bitmap"
                place.mkdir(parents=True)
                write_bitmap(packed, place)
            elif not (place / "model.onnx").exists():
                place.mkdir(exist_ok=True)
                assert write_onnx(packed, place) == ["model.onnx", "model.sd"]
                write_operator(place)
            known[key] = OPENERS[backend](packed, place)
        return known[key]

    return open_


def of_bitmap(case):
    """Every coding, rule and similarity, few tables of each; dim 20 is by dot too."""
    return case.dim in (7, 20, 33, 40) or case.n_items in (1, 1025)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", OPENERS)
def test_conformance(check, backend, open_with, tmp_path):
    supports = of_bitmap if backend == "bitmap" else everything
    check(Subject(lambda path: open_with(backend, path), tmp_path, supports))
