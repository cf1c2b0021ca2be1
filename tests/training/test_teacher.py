from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from sparsedevice.data import DataOptions, load_split
from sparsedevice.errors import ConfigError, RunError
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.evaluation.ranking import table_queries
from sparsedevice.training import TrainConfig, train
from sparsedevice.training.batches import Batch
from sparsedevice.training.teacher import Teacher, relation_gradient

WORLD = "synthetic:users=200,items=60,seed=3"
SMALL = {"dim": 16, "epochs": 12, "threads": 1, "progress": False}
SETTINGS = {"batch_users": 25}


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "run"
    train(WORLD, path, sparsity=0.0, **SMALL, settings=SETTINGS)
    return path


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape))


def test_soft_labels_are_the_gradient_of_the_divergence() -> None:
    torch.manual_seed(0)
    users, items = unit(3, 4), unit(7, 4)
    batch = Batch(
        np.array([0, 2]),
        np.array([1, 3, 4, 6]),
        np.array([0, 1, 1]),
        np.array([0, 1, 3]),
        np.log([0.5, 1, 0.2, 0.9]).astype(np.float32),
    )
    teacher = Teacher(
        table_queries(scipy.sparse.csr_array(users.numpy())),
        scipy.sparse.csr_array(items.numpy()),
        0.25,
        0.2,
        0,
    )
    scores = (torch.randn(2, 4) * 0.3).requires_grad_()
    offset = torch.from_numpy(batch.log_inclusion)
    target = (users[batch.users] @ items[batch.items].T / 0.2 - offset).softmax(1)
    logs = (scores / 0.2 - offset).log_softmax(1)
    torch.nn.functional.kl_div(logs, target, reduction="sum").backward()
    assert scores.grad is not None
    soft = teacher.soft_labels(scores.detach(), batch, batch.users)
    torch.testing.assert_close(soft / 0.2, scores.grad)
    hard = torch.randn(2, 4)
    mixed = hard.clone()
    teacher.mix_(mixed, soft, batch)
    torch.testing.assert_close(mixed, 0.75 * hard + 0.25 * soft * torch.tensor([[1.0], [2.0]]))


def test_relations_are_compared_by_their_cosines() -> None:
    torch.manual_seed(0)
    rows, taught = unit(5, 3).requires_grad_(), unit(5, 8)
    cosines = taught @ taught.T
    (2.0 / 5 * (rows @ rows.T - cosines).square().sum()).backward()
    assert rows.grad is not None
    torch.testing.assert_close(relation_gradient(rows.detach(), cosines, 2.0), rows.grad)


@pytest.mark.parametrize("model", ["mf", "pooled", "elsa"])
def test_a_student_comes_closer_to_its_teacher(teacher_run: Path, tmp_path: Path, model: str) -> None:
    """With the teacher alone (weight 1) a student of few epochs still learns, and otherwise than without."""
    arguments = {**SMALL, "model": model, "sparsity": 0.75, "epochs": 20}
    taught = train(
        WORLD,
        tmp_path / "taught",
        **arguments,
        settings={**SETTINGS, "teacher": str(teacher_run), "teacher_weight": 1.0},
    )
    assert taught.config.teacher_weight == 1.0
    figures = taught.metrics["test_folded"]
    assert figures["recall@20"] > popularity_arm(taught.split)["recall@20"] + 0.1
    alone = train(WORLD, tmp_path / "alone", **arguments, settings=SETTINGS)
    assert (taught.items != alone.items).nnz > 0


def test_a_teacher_that_is_a_history_model_teaches_too(tmp_path: Path) -> None:
    train(WORLD, tmp_path / "pooled", model="pooled", sparsity=0.0, **SMALL, settings=SETTINGS)
    settings = {**SETTINGS, "teacher": str(tmp_path / "pooled")}
    run = train(WORLD, tmp_path / "run", sparsity=0.75, **SMALL, settings=settings)
    assert run.config.teacher_weight == 0.5


def test_what_cannot_teach_is_refused(teacher_run: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "teacher": str(tmp_path / "nothing")}
    with pytest.raises(RunError, match="there is no run folder"):
        train(WORLD, tmp_path / "run", **SMALL, settings=settings)
    other = load_split("synthetic:users=210,items=60,seed=3", DataOptions())
    settings = {**SETTINGS, "teacher": str(teacher_run)}
    with pytest.raises(ConfigError, match=r"does not know 10 of 210 users, 'u?\d+' for instance"):
        train(other, tmp_path / "run", **SMALL, settings=settings)
    with pytest.raises(ConfigError, match=r"teacher_weight 0\.5 needs a teacher"):
        TrainConfig(teacher_weight=0.5)
    with pytest.raises(ConfigError, match="learns from no teacher"):
        TrainConfig(model="lightgcn", teacher="run")
