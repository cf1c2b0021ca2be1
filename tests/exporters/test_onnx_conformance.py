"""onnxruntime against the conformance suite of all backends."""

from __future__ import annotations

import pytest

from sparsedevice.exporters.onnx import OnnxRecommender, write_onnx
from sparsedevice.packing import PackedFile
from tests.runtime.conformance import CHECKS, Subject


def open_(path):
    packed = PackedFile.open(path)
    folder = path.with_suffix(".onnx")
    folder.mkdir(exist_ok=True)
    write_onnx(packed, folder)
    return OnnxRecommender(packed, folder / "model.onnx")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_onnx(check, tmp_path):
    check(Subject(open_, tmp_path, supports=lambda case: "ridge" not in case.fold_in))
