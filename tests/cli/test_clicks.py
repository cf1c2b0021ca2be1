from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparsedevice.cli import main
from sparsedevice.data import DataOptions
from sparsedevice.errors import ConfigError
from sparsedevice.training import train


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = (f"{n % 3 == n % 2:d},u{n % 7},i{n % 5},{n / 10}" for n in range(400))
    path.write_text("click,user,item,price\n" + "\n".join(rows) + "\n")
    return path


def test_train_and_evaluate_a_click_log(log: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    common = ("train", log, "--model", "dlrm", "--epochs", 1, "--dim", 8, "--threads", 1, "--out", out)
    code, text, err = run(capsys, *common, "--method", "amgp", "--sparsity", 0.5, "--finish", "full")
    assert (code, err) == (0, "")
    assert f"sparsedevice evaluate {out}" in " ".join(text.split())
    code, text, _ = run(capsys, "evaluate", out, "--output", "json")
    result = json.loads(text)
    assert code == 0
    assert set(result) == {"auc", "log_loss", "n_rows", "click_rate"}
    assert result["n_rows"] == 40
    bundle = tmp_path / "bundle"
    code, text, err = run(capsys, "export", out, "--target", "onnx", "--out", bundle)
    assert (code, err) == (0, "")
    assert "auc, artefact" in text
    code, text, _ = run(capsys, "evaluate", bundle, "--output", "json")
    assert (code, json.loads(text)["auc"]) == (0, pytest.approx(result["auc"], abs=1e-6))
    code, text, _ = run(capsys, "report", bundle)
    assert (code, "auc, artefact" in text) == (0, True)
    for command in ("bench", "recommend", "profile"):
        code, _, err = run(capsys, command, bundle)
        assert (code, err.count("\n"), "model of clicks" in err) == (2, 1, True), (command, err)
    for arguments, message in (
        ((*common, "--temperature", 1), "unknown setting 'temperature' of training on clicks"),
        ((*common, "--label-column", "bought"), "no column 'bought'"),
        ((*common, "--format", "parquet"), "format 'parquet' is unknown for click logs"),
        (("evaluate", out, "--data", log), "leave --data out"),
        (("export", out, "--target", "packed"), "does not carry models of clicks; use --target onnx"),
        (("train", log, "--l2", 1), "unknown training setting 'l2'"),
    ):
        code, _, err = run(capsys, *arguments)
        assert (code, message in err) == (2, True), err


def test_options_of_the_other_kind_are_refused(log: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reads click logs"):
        train(log, tmp_path / "run", model="dlrm", options=DataOptions())
