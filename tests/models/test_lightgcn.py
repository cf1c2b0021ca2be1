from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from sparsedevice.errors import ConfigError
from sparsedevice.evaluation import evaluate
from sparsedevice.evaluation.arms import popularity_arm
from sparsedevice.exporters import export
from sparsedevice.models.lightgcn import LightGCN
from sparsedevice.sparse.dense import DenseTable
from sparsedevice.sparse.table import SparseTable
from sparsedevice.training import TrainConfig, train
from sparsedevice.training.batches import Batch

WORLD = "synthetic:users=200,items=60,seed=3"


def small_graph() -> scipy.sparse.csr_array:
    rng = np.random.default_rng(0)
    graph = rng.random((6, 9)) < 0.4
    graph[:, 0] = True
    return scipy.sparse.csr_array(graph.astype(np.float32))


def test_a_step_follows_the_gradient_through_the_graph() -> None:
    """Autograd of the published sum of powers of the dense adjacency; every row of both tables moves."""
    torch.manual_seed(0)
    graph = small_graph()
    dense = torch.from_numpy(graph.toarray())
    adjacency = torch.zeros(15, 15)
    adjacency[:6, 6:] = dense
    adjacency[6:, :6] = dense.T
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    start = torch.nn.functional.normalize(torch.randn(15, 20))
    users, items = DenseTable(start[:6].clone()), DenseTable(start[6:].clone())
    config = TrainConfig(
        loss="softmax", model="lightgcn", sparsity=0.0, dim=20, precision="float32", temperature=0.3, layers=2
    )
    user, column = np.array([0, 1, 1]), np.array([2, 0, 3])
    batch = Batch(np.array([1, 4]), np.array([0, 2, 5, 8]), user, column, np.zeros(4, np.float32))
    E = start.clone().requires_grad_()
    mixed = (E + adjacency @ E + adjacency @ adjacency @ E) / 3
    unit = torch.nn.functional.normalize(mixed)
    scores = unit[batch.users] @ unit[6 + batch.items].T / 0.3
    total = torch.zeros(())
    chosen = torch.zeros(2, 4, dtype=torch.bool)
    chosen[user, column] = True
    for u, p in zip(user, column, strict=True):
        rest = scores[u][~chosen[u]]
        total = total - scores[u, p] + torch.cat([scores[u, p][None], rest]).logsumexp(0)
    total.backward()
    assert E.grad is not None
    tangent = E.grad - (E.grad * start).sum(1, keepdim=True) * start
    expected = torch.nn.functional.normalize(start - 0.01 * torch.nn.functional.normalize(tangent))
    model = LightGCN(users, items, {}, config, graph)
    assert model.step(batch, 0.01, step=0, last=False, progress=0.0) == pytest.approx(total.item(), rel=1e-5)
    torch.testing.assert_close(users.values.view(6, 20), expected[:6], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(items.values.view(9, 20), expected[6:], rtol=1e-3, atol=1e-5)


def test_baking_keeps_the_largest_entries_of_the_propagated_rows() -> None:
    graph = small_graph()
    torch.manual_seed(0)
    rows = torch.randn(15, 40) * (torch.rand(15, 40) < 0.2)
    rows[:, 0] = 1.0
    users = SparseTable.from_csr(scipy.sparse.csr_array(rows[:6].numpy()))
    items = SparseTable.from_csr(scipy.sparse.csr_array(rows[6:].numpy()))
    config = TrainConfig(
        loss="softmax", model="lightgcn", dim=40, precision="float32", temperature=0.3, layers=1
    )
    out, baked_users = LightGCN(users, items, {}, config, graph).trained_tables()
    assert baked_users is not None
    normal = graph.toarray() / np.sqrt(graph.toarray().sum(1)[:, None] * graph.toarray().sum(0))
    expected = (rows[6:].numpy() + normal.T @ rows[:6].numpy()) / 2
    for row, (length, full) in enumerate(zip(items.row_lengths, expected, strict=True)):
        kept = np.sort(np.argsort(-np.abs(full), kind="stable")[: int(length)])
        got = out[[row]].toarray()[0]
        np.testing.assert_array_equal(np.flatnonzero(got), kept)
        np.testing.assert_allclose(got[kept], full[kept] / np.linalg.norm(full[kept]), rtol=1e-4)


@pytest.mark.parametrize("sparsity", [0.0, 0.75])
def test_it_learns_and_ships_plain_rows(tmp_path: Path, sparsity: float) -> None:
    run = train(
        WORLD,
        tmp_path / "run",
        model="lightgcn",
        sparsity=sparsity,
        dim=24,
        epochs=30,
        threads=1,
        settings={"batch_users": 50},
        progress=False,
    )
    assert run.users is not None
    assert run.items.nnz == run.items.shape[0] * (6 if sparsity else 24)
    result = evaluate(tmp_path / "run")
    for figures in (result, result["folded"]):
        assert figures["recall@20"] > popularity_arm(run.split)["recall@20"] + 0.1
    export(tmp_path / "run", "packed", tmp_path / "bundle", values="f32")
    assert evaluate(tmp_path / "bundle")["recall@20"] == pytest.approx(
        result["folded"]["recall@20"], abs=1e-6
    )


def test_methods_with_dense_shadows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LightGCN does not propagate"):
        train(WORLD, tmp_path / "run", model="lightgcn", method="dpf", dim=16, epochs=1, progress=False)
