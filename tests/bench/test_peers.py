"""The comparison with peers: what it computes, and one run of the learners that need no other packages."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from benchmarks.peers.inference import (
    ARMS,
    N_QUERIES,
    compare_inference,
    interval,
    spread,
    spread_markdown,
)
from benchmarks.peers.inference import markdown as inference_markdown
from benchmarks.peers.process import read_script, scripts_in
from benchmarks.peers.training import (
    LEARNERS,
    OURS,
    compare_training,
    markdown,
    over_seeds,
    seconds_to_most,
    seeds_markdown,
)

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")


def test_every_peer_pins_every_package():
    for folder, ours in ((ARMS, "sparsedevice_core"), (LEARNERS, OURS)):
        scripts = scripts_in(folder, ours)
        assert scripts[0][0].stem == ours
        assert len({script for script, _ in scripts}) > 4
        for script, variant in scripts:
            module = read_script(script)
            assert variant in module.VARIANTS
            assert all(requirement.count("==") == 1 for requirement in module.REQUIREMENTS)


def test_time_to_most_of_the_best_recall():
    looks = [{"seconds": s, "recall": r} for s, r in ((1.0, 0.1), (3.0, 0.19), (9.0, 0.2))]
    assert seconds_to_most(looks) == pytest.approx(3.0), "95 % of .2 is .19"
    assert seconds_to_most(looks[:1]) == pytest.approx(0.95)
    cpu = [{**look, "cpu_seconds": 2 * look["seconds"]} for look in looks]
    assert seconds_to_most(cpu, "cpu_seconds") == pytest.approx(6.0)
    looks.append({"seconds": 11.0, "recall": 0.1})
    assert seconds_to_most(looks) == pytest.approx(3.0), "it fell back: its own best recall counts"


def test_a_ratio_lies_in_its_interval():
    rng = np.random.default_rng(0)
    ours = rng.uniform(1, 3, 60)
    ratio, low, high = interval((2 * ours * rng.uniform(0.98, 1.02, 60) / ours).tolist())
    assert low <= ratio <= high
    assert ratio == pytest.approx(2, rel=0.02), "pairs cancel what both met"
    assert high - low < 0.05


def test_the_spread_of_runs():
    runs = [{"arms": [{"arm": name, "cpu_ratio": (r, r, r)} for name in "ab"]} for r in (4, 5)]
    runs[1]["arms"].pop()
    (row,) = spread(runs)
    assert row == {"arm": "a", "ratios": [4, 5], "spread": pytest.approx(0.25)}, "b did not run twice"
    assert "| a | 4.00 | 5.00 | +25.0% |" in spread_markdown([row])


def test_two_arms_beside_each_other(packed_bundle, tmp_path):
    found, again = compare_inference(
        packed_bundle.path, k=3, rounds=2, most_rounds=2, only=["numpy_dense:fp32"], runs=2, work=tmp_path
    )
    assert [len(row["ratios"]) for row in spread([found, again])] == [2, 2]
    core, dense = found["arms"]
    assert (found["rounds"], found["not_run"]) == (2, [])
    assert core["cpu_ratio"] == (1.0, 1.0, 1.0)
    assert dense["overlap"] > 0.9
    low, high = dense["cpu_ratio"][1:]
    assert 0 < low <= dense["cpu_ratio"][0] <= high
    assert len(dense["rounds"]["cpu"]) == 2
    pairs = zip(dense["rounds"]["cpu"], dense["rounds"]["median"], strict=True)
    assert all(quiet <= median for quiet, median in pairs), "the fastest tenth against the same median"
    for arm in found["arms"]:
        assert 0 <= arm["left_alone"] <= 1
        assert arm["p50_us"] > 0
    assert "numpy dense fp32" in inference_markdown(found)
    assert len((tmp_path / "histories.json").read_text().split("], [")) == N_QUERIES
    with pytest.raises(SystemExit, match="files of another model or k"):
        compare_inference(
            packed_bundle.path, k=4, rounds=1, most_rounds=1, only=["numpy_dense"], work=tmp_path
        )


@pytest.mark.parametrize(("n_items", "loss"), [(30, "softmax"), (3000, "bsl")])
def test_dense_tables_in_torch_train_with_the_loss_and_the_settings_of_this_project(n_items, loss):
    from sparsedevice.training.config import TrainConfig
    from sparsedevice.training.losses import Loss

    scripts_in(LEARNERS, OURS)
    softmax = read_script(LEARNERS / "torch_softmax.py")
    matrix = scipy.sparse.random(400, n_items, 4.5 / n_items, format="csr", random_state=1)
    matrix = scipy.sparse.csr_array((matrix > 0).astype(np.float32))
    config = TrainConfig(sparsity=0.0).resolve(*matrix.shape, matrix.nnz)
    settings = softmax.settings_for(matrix)
    assert config.loss == loss
    assert settings == (config.batch_users, config.epochs, config.temperature, config.temperature2)

    torch.manual_seed(0)
    users, items = (torch.nn.functional.normalize(torch.randn(n, 8)) for n in matrix.shape)
    seen = []
    for chosen, columns, positive, log_pi in softmax.batches(
        matrix, settings.users, np.random.default_rng(0)
    ):
        cosines = (users[chosen] @ items[columns].T).requires_grad_()
        user, column = positive.nonzero(as_tuple=True)
        mean = softmax.loss_of(cosines, positive, log_pi, settings)
        mean.backward()
        ours = cosines.detach().clone()
        total = Loss.of(config)(ours, user, column, log_pi, step=0)
        assert mean.item() == pytest.approx(total / len(user), rel=1e-4)
        gradient = ours / (len(user) * settings.temperature)
        torch.testing.assert_close(cosines.grad, gradient, rtol=1e-3, atol=1e-6)
        seen += chosen[user].tolist()
    assert len(seen) == matrix.nnz, "every interaction once an epoch"


def test_learners_learn():
    found = compare_training(
        "synthetic:users=300,items=120,seed=0",
        share=0.05,
        seconds=60,
        threads=1,
        seed=0,
        only=["sparsedevice_mf", "torch_mf"],
    )
    assert [row["learner"] for row in found["learners"]] == [
        "sparsedevice mf sparse-0.9",
        "torch mf dense-64",
    ]
    assert found["not_run"] == []
    for row in found["learners"]:
        assert row["test"] > 0.2, "a random ranking of 20 of 120 finds a sixth"
        assert 0 < row["seconds_to_most"] <= row["seconds"]
        assert row["examples_per_second"] > 0
        assert len(row["looks"]) >= 2
        assert row["validation"] == max(look["recall"] for look in row["looks"])
        assert row["validation"] in [k["recall"] for k in row["looks"] if k["epoch"] == row["best_epoch"]]
    ours, dense = found["learners"]
    assert ours["item_entries"] < 0.2 * 120 * 128
    assert dense["item_entries"] == 120 * 64
    assert "sparsedevice mf sparse-0.9" in markdown(found)
    again = {"seed": 1, "learners": [{**row, "test": row["test"] + 0.02} for row in found["learners"][:1]]}
    (row,) = over_seeds([found, again])
    assert row["seeds"] == [0, 1], "the dense table was not trained with the second seed"
    assert row["test"] == pytest.approx((ours["test"] + 0.01, ours["test"], ours["test"] + 0.02))
    assert "sparsedevice mf sparse-0.9" in seeds_markdown([row])
