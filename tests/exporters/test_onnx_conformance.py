"""onnxruntime against the conformance suite: one graph, by standard operators and by the core."""

from __future__ import annotations

import hashlib

import pytest

from sparsedevice.exporters.onnx import open_artefact, write_onnx
from sparsedevice.exporters.onnx.native import open_native, write_operator
from sparsedevice.packing import PackedFile
from tests.runtime.conformance import CHECKS, Subject

OPENERS = {"onnx": open_artefact, "onnx-native": open_native}


@pytest.fixture(scope="module")
def open_with(tmp_path_factory):
    """Opens a packed file with a backend; equal files have one graph, which both backends run."""
    folder = tmp_path_factory.mktemp("artefacts")
    known = {}

    def open_(backend, path):
        place = folder / hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        if (backend, place) not in known:
            packed = PackedFile.open(path)
            if not place.exists():
                place.mkdir()
                assert write_onnx(packed, place) == ["model.onnx", "model.sd"]
                write_operator(place)
            known[backend, place] = OPENERS[backend](packed, place)
        return known[backend, place]

    return open_


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", OPENERS)
def test_conformance(check, backend, open_with, tmp_path):
    check(Subject(lambda path: open_with(backend, path), tmp_path))
