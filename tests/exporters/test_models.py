"""Every model that ranks a catalogue, trained on the synthetic world, through the portable targets."""

from __future__ import annotations

import pytest

from sparsedevice.exporters.executorch import ExecutorchRecommender, write_program
from sparsedevice.exporters.onnx import OnnxRecommender, write_onnx
from sparsedevice.pack_run import pack_run
from sparsedevice.runtime.reference import NumpyRecommender
from sparsedevice.training import train

WORLD = "synthetic:users=120,items=60,seed=3"
SMALL = {"dim": 16, "epochs": 4, "sparsity": 0.75, "threads": 1, "progress": False}
SETTINGS = {"batch_users": 20, "negatives": 16, "validation_every": 2}
WITH_USERS = ("mf", "lightgcn")


@pytest.mark.parametrize(
    ("model", "own"),
    [
        ("mf", {}),
        ("lightgcn", {}),
        ("pooled", {}),
        ("elsa", {}),
        ("multvae", {"hidden": 12}),
    ],
)
def test_every_model_answers_as_the_reference(model, own, tmp_path):
    run = train(WORLD, tmp_path / "run", model=model, **SMALL, settings={**SETTINGS, **own})
    packed = pack_run(run, tmp_path / "model.sd", values="int8", users=model in WITH_USERS)
    write_onnx(packed, tmp_path)
    write_program(packed, tmp_path)
    wanted = NumpyRecommender(packed)
    onnx = OnnxRecommender(packed, tmp_path / "model.onnx")
    executorch = ExecutorchRecommender(packed, tmp_path / "model.pte")
    items, users = run.split.train.item_ids.ids, run.split.train.user_ids.ids
    questions = [
        {"history": [items[3], items[0], items[41], "nobody"]},
        {"history": [items[7]], "exclude": "none"},
        {"history": []},
    ]
    questions += [{"user": users[5]}] if model in WITH_USERS else []
    for question in questions:
        answer = wanted.recommend(k=20, **question)
        assert len(answer.items) == 20
        for backend in (onnx, executorch):
            got = backend.recommend(k=20, **question)
            assert got.items == answer.items, (model, backend, question)
            assert got.scores.tobytes() == answer.scores.tobytes(), (model, backend, question)
    for backend in (onnx, executorch):
        assert backend.similar(items[9], k=5).items == wanted.similar(items[9], k=5).items
