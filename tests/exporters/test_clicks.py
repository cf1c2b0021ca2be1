"""Models of clicks as bundles: the torch model's answers, accuracy from the artefact, and refusals."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import pytest

from sparsedevice.errors import BundleError, ConfigError, DataError, SparseDeviceError
from sparsedevice.evaluation import evaluate
from sparsedevice.exporters import (
    TARGETS,
    Bundle,
    evaluate_click_bundle,
    export,
    find_target,
    open_bundle,
    open_clicks,
)
from sparsedevice.exporters.clicks.reference import ClickReference
from sparsedevice.exporters.clicks.scorer import encode
from sparsedevice.exporters.clicks.tables import click_tables
from sparsedevice.training.clicks import train_clicks
from tests.exporters.click_worlds import WORLDS, click_run
from tests.exporters.readme_code import run_readme

CARRIERS = [target.name for target in TARGETS if target.clicks is not None]
OTHERS = [target.name for target in TARGETS if target.clicks is None]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Opens the artefact of a world's tables for a target; each is written once."""
    scorers = {}

    def open_(name, world, values="f32"):
        key = (name, world, values)
        if key not in scorers:
            folder = tmp_path_factory.mktemp("artefact")
            tables, clicks = click_tables(click_run(world), values), find_target(name).clicks
            clicks.write(tables, folder)
            scorers[key] = clicks.open(tables.schema, folder)
        return scorers[key]

    return open_


@pytest.mark.parametrize("name", CARRIERS)
@pytest.mark.parametrize("world", WORLDS)
def test_the_artefact_answers_as_the_torch_model(world, name, opened):
    run = click_run(world)
    wanted = run.model().score(run.test).numpy()
    assert np.ptp(wanted) > 1
    reference = ClickReference(click_tables(run)).score(run.test)
    np.testing.assert_allclose(reference, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(opened(name, world).score(run.test), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CARRIERS)
@pytest.mark.parametrize("values", ["f16", "int8"])
@pytest.mark.parametrize("world", ["sparse", "dense"])
def test_quantised_tables_answer_as_their_reference(world, values, name, opened):
    run = click_run(world)
    tables = click_tables(run, values)
    wanted = ClickReference(tables).score(run.test)
    got = opened(name, world, values).score(run.test)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    exact = run.model().score(run.test).numpy()
    assert 1e-6 < np.abs(got - exact).max() < 0.5


@pytest.mark.parametrize("name", CARRIERS)
@pytest.mark.parametrize("world", ["sparse", "dense"])
def test_no_number_leads_outside_the_table(world, name, opened):
    run = click_run(world)
    scorer = opened(name, world)
    numbers = run.test.numbers[:2]
    first = [field.first_row for field in run.schema.categories]
    unknown = np.array([[first[0], first[1], -1, -1, first[2], -1]] * 2)
    wanted = scorer.logits(unknown, numbers)
    for wild in (-1, -(2**62), 2**62, run.schema.n_rows, run.schema.n_rows + 1):
        rows = unknown.copy()
        rows[:, [0, 1, 4]] = wild  # the first slot of each field
        np.testing.assert_array_equal(scorer.logits(rows, numbers), wanted)
    neighbours = unknown.copy()
    neighbours[:, 0] = run.schema.categories[1].first_row + 1  # a row, but of another field
    np.testing.assert_array_equal(scorer.logits(neighbours, numbers), wanted)
    later, named = unknown.copy(), unknown.copy()
    later[:, 2], named[:, 2] = 2**40, first[1]
    np.testing.assert_array_equal(scorer.logits(later, numbers), scorer.logits(named, numbers))


def test_examples_by_field_name():
    schema = click_run().schema
    examples = [
        {"field 0": "v0.3", "field 1": ["v1.0", "v1.29"], "price": 3, "age": -2.5},
        {"field 0": "never seen", "field 2": "v2.4", "price": None},
    ]
    rows, numbers = encode(schema, examples)
    assert rows.tolist() == [[4, 14, 43, -1, 44, -1], [0, 13, -1, -1, 49, -1]]
    wanted = [[(np.log(4) - 0.5) / 2, (-np.log(3.5) - 3) / 0.7], [0, 0]]
    np.testing.assert_allclose(numbers, wanted, rtol=1e-6)
    for example, message in (
        ({"colour": "red"}, "has a field 'colour'; the model knows age, field 0"),
        ({"field 0": ["v0.1", "v0.2"]}, "has 2 categories of 'field 0'; in training one had at most 1"),
        ({"price": "cheap"}, "'cheap' for 'price', which is not a number"),
        ({"price": float("inf")}, "numbers are finite"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            encode(schema, [example])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run trained on a small log, and the log."""
    folder = tmp_path_factory.mktemp("clicks")
    rows = (f"{n % 3 == n % 2:d},u{n % 7},i{n % 5},{n / 10}" for n in range(300))
    (folder / "log.csv").write_text("click,user,item,price\n" + "\n".join(rows) + "\n")
    settings = {"epochs": 1, "dim": 8, "sparsity": 0.5, "tower_sparsity": 0.5, "threads": 1}
    return train_clicks(folder / "log.csv", folder / "run", settings=settings, progress=False), folder


@pytest.mark.parametrize("name", CARRIERS)
def test_a_bundle_is_measured_from_its_artefact(trained, tmp_path, name):
    run, folder = trained
    bundle = export(folder / "run", name, tmp_path / "b")
    accuracy = bundle.manifest["accuracy"]
    assert accuracy["trained_model"] == run.metrics["test"]
    assert accuracy["artefact"]["auc"] == pytest.approx(run.metrics["test"]["auc"], abs=1e-9)
    assert accuracy["artefact"]["log_loss"] == pytest.approx(run.metrics["test"]["log_loss"], abs=1e-6)
    assert evaluate(bundle.path) == accuracy["artefact"]
    assert evaluate(bundle.path, data=folder / "log.csv") == accuracy["artefact"]
    assert bundle.summary()["auc, artefact"] == accuracy["artefact"]["auc"]
    chances = open_clicks(bundle.path).probability([{"user": "u1", "item": "i2", "price": 0.4}, {}])
    assert ((chances > 0) & (chances < 1)).all()
    assert export(folder / "run", name, tmp_path / "b2").manifest == bundle.manifest
    assert all(0 < float(printed.strip("[]\n")) < 1 for printed in run_readme(bundle.path))
    other = folder / "other.csv"
    other.write_text((folder / "log.csv").read_text().replace("i4", "i3"))
    with pytest.raises(BundleError, match="its fingerprint differs"):
        evaluate(bundle.path, data=other)


def test_wrong_tables_measure_badly(trained, tmp_path):
    """The measurement can fail: a table without the trained one's numbers scores otherwise."""
    run, _ = trained
    table = run.table.copy()
    table.data[:] = -3 * table.data
    bad = export(replace(run, table=table), "onnx", tmp_path / "bad")
    assert bad.manifest["accuracy"]["artefact"]["log_loss"] > run.metrics["test"]["log_loss"] + 1e-4


def test_the_graph_has_standard_operators_and_a_sparse_table(tmp_path):
    run = click_run("sparse")
    find_target("onnx").clicks.write(click_tables(run, "int8"), tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert stored["table_values"].data_type == onnx.TensorProto.INT8
    assert stored["table_columns"].data_type == onnx.TensorProto.UINT8
    assert len(stored["table_values"].raw_data) == run.table.nnz


def test_refusals(tmp_path):
    run = click_run()
    for name in OTHERS:
        with pytest.raises(ConfigError, match=f"'{name}' ranks a catalogue .* use --target {CARRIERS[0]}"):
            export(run, name, tmp_path / "b")
    with pytest.raises(ConfigError, match="'int4' values; use one of f32, f16, int8"):
        export(run, "onnx", tmp_path / "b", values="int4")
    with pytest.raises(ConfigError, match="leave out --users"):
        export(run, "onnx", tmp_path / "b", users=True)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("mine")
    with pytest.raises(SparseDeviceError, match="holds files and is not a bundle"):
        export(run, "onnx", tmp_path / "photos")
    broken = replace(run, table=run.table * np.float32(np.inf))
    with pytest.raises(ConfigError, match="not finite"):
        export(broken, "onnx", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_damaged_bundles(tmp_path):
    bundle = export(click_run(), "onnx", tmp_path / "b")
    with pytest.raises(ConfigError, match="holds a model of clicks, which ranks nothing"):
        open_bundle(bundle.path)
    with pytest.raises(DataError, match="give it with --data"):
        evaluate_click_bundle(bundle)
    for name in Bundle.load(bundle.path).manifest["files"]:
        whole = (bundle.path / name).read_bytes()
        (bundle.path / name).write_bytes(whole[:-1])
        with pytest.raises(BundleError, match="truncated"):
            open_clicks(bundle.path)
        (bundle.path / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BundleError, match="was changed after the export"):
            open_clicks(bundle.path)
        (bundle.path / name).write_bytes(whole)
    schema = json.loads((bundle.path / "schema.json").read_text())
    assert [field["slots"] for field in schema["categories"]] == [1, 3, 2]


def test_a_schema_of_another_model_is_refused_in_one_sentence(opened):
    scorer = opened("onnx", click_tables(click_run("sparse")))
    other = click_run("single slots")
    with pytest.raises(BundleError, match="does not run") as caught:
        scorer.score(other.test)
    assert "\n" not in str(caught.value)
