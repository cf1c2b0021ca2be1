"""The command line on built-in data: every verb, what JSON promises, and the exit code of mistakes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sparsedevice.cli import main

DATA = "synthetic:users=120,items=60,history=12,seed=3"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    assert run("train", DATA, "--out", out, "--dim", "32", "--epochs", "5", "--threads", "1") == 0
    return out


@pytest.fixture(scope="module")
def bundle(trained):
    out = trained.parent / "bundle"
    assert run("export", trained, "--target", "onnx", "--users", "--out", out) == 0
    return out


def parsed(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_evaluate_prints_one_json_object(trained, bundle, capsys):
    for what in (trained, bundle):
        assert run("evaluate", what, "--output", "json") == 0
        result = parsed(capsys)
        assert result["n_items"] == 60
        assert 0 < result["n_users"] <= 120
        assert 0 < result["recall@20"] <= 1
        assert 0 < result["ndcg@20"] <= 1


def test_evaluate_takes_another_k(trained, capsys):
    assert run("evaluate", trained, "-k", "5", "--output", "json") == 0
    assert "recall@5" in parsed(capsys)


def test_recommend_answers_with_titles(bundle, capsys):
    assert run("recommend", bundle, "--history", "0,6,12", "-k", "4", "--output", "json") == 0
    items = parsed(capsys)["items"]
    assert len(items) == 4
    assert not {"0", "6", "12"} & {item["id"] for item in items}
    assert all(item["title"] for item in items)
    scores = [item["score"] for item in items]
    assert scores == sorted(scores, reverse=True)


def test_recommend_names_the_history_and_what_it_ignored(bundle, capsys):
    assert run("recommend", bundle, "--history", "0,nowhere", "-k", "2") == 0
    printed = capsys.readouterr()
    assert "Because of: " in printed.out
    assert "nowhere" in printed.err


def test_candidates_and_exclusions(bundle, capsys):
    arguments = ("recommend", bundle, "--history", "0", "--candidates", "0,1,2,3", "--output", "json")
    assert run(*arguments, "--exclude", "none") == 0
    assert {item["id"] for item in parsed(capsys)["items"]} == {"0", "1", "2", "3"}
    assert run(*arguments, "--exclude", "2") == 0
    assert {item["id"] for item in parsed(capsys)["items"]} == {"1", "3"}


def test_shipped_user_gets_nothing_seen(bundle, trained, capsys):
    from sparsedevice.run import Run

    train = Run.load(trained).split.train
    user = train.user_ids.ids[0]
    seen = {train.item_ids.ids[item] for item in train.item_index[train.user_index == 0]}
    assert run("recommend", bundle, "--user", user, "-k", "60", "--output", "json") == 0
    items = {item["id"] for item in parsed(capsys)["items"]}
    assert items
    assert not seen & items


def test_inspect_and_bench_keep_their_keys(bundle, capsys):
    assert run("inspect", bundle / "model.sd", "--output", "json") == 0
    assert {"bytes", "n_items", "dim", "nnz", "values", "layout"} <= set(parsed(capsys))
    for backend in ("core", "numpy", "onnx"):
        arguments = ("--repetitions", "5", "--min-seconds", "0", "--warmup", "1", "--output", "json")
        assert run("bench", bundle, "--backend", backend, *arguments) == 0
        result = parsed(capsys)
        assert result["backend"] == backend
        keys = ("load_ms", "first_query_us", "p50_us", "p90_us", "p99_us", "file_bytes")
        assert all(result[key] > 0 for key in keys)
        assert "anonymous_bytes" in result


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "nowhere.csv"), "nowhere.csv"),
        (("train", DATA, "--sparsity", "1.5"), "1.5"),
        (("train", DATA, "--method", "magic"), "magic"),
        (("train", DATA, "--model", "magic"), "magic"),
        (("train", DATA, "--k-core", "99"), "99"),
        (("evaluate", "nowhere"), "nowhere"),
        (("export", "nowhere", "--target", "packed"), "nowhere"),
        (("recommend", "nowhere", "--history", "1"), "nowhere"),
        (("inspect", "nowhere.sd"), "nowhere.sd"),
        (("bench", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("sparsedevice: ")
    assert printed.err.count("\n") == 1
    assert says in printed.err
    assert list(tmp_path.iterdir()) == []


def test_mistakes_with_a_bundle(bundle, trained, capsys):
    for arguments, says in (
        (("export", trained, "--target", "toaster", "--out", bundle.parent / "no"), "toaster"),
        (("export", trained, "--target", "onnx", "--values", "int7", "--out", bundle.parent / "no"), "int7"),
        (("recommend", bundle, "--user", "nobody"), "nobody"),
        (("recommend", bundle), "history"),
        (("recommend", bundle, "--history", "1", "-k", "0"), "k is 0"),
        (("bench", bundle, "--backend", "abacus"), "abacus"),
    ):
        assert run(*arguments) == 2
        assert says in capsys.readouterr().err
    assert not (bundle.parent / "no").exists()


@pytest.mark.parametrize("command", ["train", "export --target packed", "export --target onnx"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(command, trained, tmp_path):
    """A limit on the size of files stands for the disk: the same writes fail."""
    name, *options = command.split()
    data = "synthetic:users=200,items=300" if name == "train" else str(trained)
    options += ["--epochs", "1", "--threads", "1"] if name == "train" else []
    limited = ["sh", "-c", 'ulimit -f 4; exec "$0" "$@"', sys.executable, "-m", "sparsedevice"]
    done = subprocess.run(
        [*limited, name, data, *options, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"sparsedevice: cannot write {tmp_path / 'out'}")
    assert said.endswith("File too large")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_is_light():
    heavy = ("torch", "polars", "onnx", "onnxruntime", "executorch", "scipy", "rich", "typer")
    code = f"import sparsedevice, sys; print([m for m in {heavy!r} if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_public_name_is_there():
    import sparsedevice

    for name in sparsedevice.__all__:
        assert callable(getattr(sparsedevice, name))
    with pytest.raises(AttributeError, match="nothing_here"):
        sparsedevice.nothing_here  # noqa: B018
