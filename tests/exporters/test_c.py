"""The C target: one conformance suite, both builds, the tools, and other machines under emulation."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from sparsedevice.bench.machines.qemu import find_emulator
from sparsedevice.errors import SparseDeviceError, TargetError
from sparsedevice.exporters import export
from sparsedevice.exporters.c import CRecommender, write_core
from sparsedevice.exporters.compiler import find_compiler, run_compiler
from sparsedevice.packing import PackedFile
from sparsedevice.runtime import load
from tests.exporters.tiny import tiny_run
from tests.runtime.conformance import CASES, CHECKS, Subject, reference, write_case

CROSS = {
    "arm64": ("aarch64-linux-gnu-gcc", "aarch64"),
    "armv7": ("arm-linux-gnueabihf-gcc", "arm"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("core")
    write_core(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return export(tiny_run(), "c", tmp_path_factory.mktemp("bundles") / "c", users=True, k=5)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conformance(check, sources, tmp_path):
    check(Subject(lambda path: CRecommender(PackedFile.open(path), sources), tmp_path))


def run(command, **options):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(bundle, tmp_path_factory):
    """A function that copies the bundle and builds the tools there, once for the same settings."""

    @functools.cache
    def build(*settings):
        folder = tmp_path_factory.mktemp("tools") / "built"
        run(["cp", "-r", bundle.path, folder])
        run(["make", "-s", *settings], cwd=folder)
        return folder

    return build


def answers(text):
    return [(line.split("\t")[1], line.split("\t")[2]) for line in text.splitlines()]


@pytest.fixture(scope="module", params=["here", *CROSS])
def tools(built, request):
    """A folder with the tools built for a machine, and the command that runs its programs."""
    settings, runner = [], []
    if request.param != "here":
        compiler, processor = CROSS[request.param]
        if shutil.which(compiler) is None:
            pytest.skip(f"{compiler} is not installed")
        try:
            runner = [find_emulator(processor)]
        except TargetError as error:
            pytest.skip(str(error))
        # With -O3, which the tools have here, compilers for arm64 take far longer; answers are the same.
        settings = [f"CC={compiler}", "LDFLAGS=-static", "CFLAGS=-O1"]
    return built(*settings), runner


def test_tools_built_with_make(bundle, tools):
    folder, runner = tools
    wanted = load(bundle.path / "model.sd", "numpy")
    for arguments, question in (
        (["item-3", "item-8"], {"history": ["item-3", "item-8"]}),
        (["-k", "5", "item-3", "nothing"], {"history": ["item-3"], "k": 5}),
        (["-u", "user 3", "-k", "40"], {"user": "user 3", "k": 40}),
        ([], {"history": []}),
    ):
        answer = wanted.recommend(**question)
        out = run([*runner, "./sd-recommend", "model.sd", *arguments], cwd=folder)
        assert answers(out) == list(zip(answer.items, answer.titles, strict=True))
        scores = [float(line.split("\t")[0]) for line in out.splitlines()]
        assert scores == pytest.approx(answer.scores.tolist(), rel=1e-7)
    settings = ["--k", "7", "--repetitions", "50", "--min-seconds", "0.01"]
    said = run([*runner, "./sd-bench", "model.sd", *settings], cwd=folder)
    timed = json.loads(said.splitlines()[-1])
    assert timed["n"] >= 50
    assert timed["k"] == 7
    assert timed["file_bytes"] == (bundle.path / "model.sd").stat().st_size
    assert 0 < timed["p50_us"] <= timed["p90_us"] <= timed["p99_us"]
    assert timed["phases"]["recommend_rows"]["p50_us"] > 0


def test_every_case_in_the_tool(tools, tmp_path):
    folder, runner = tools
    for number, case in enumerate(CASES):
        path = write_case(tmp_path / f"{number}.sd", case)
        wanted = reference(case)
        for arguments, question in (
            (["i0", "i7", "nobody"], {"history": ["i0", "i7", "nobody"]}),
            (["-u", "u3"], {"user": "u3"}),
        ):
            answer = wanted.recommend(k=9, **question)
            out = run([*runner, folder / "sd-recommend", path, "-k", "9", *arguments])
            scores = np.array([line.split("\t")[0] for line in out.splitlines()], np.float32)
            if case.integer:
                assert answers(out) == list(zip(answer.items, answer.titles or [], strict=True)), case
                assert scores.tobytes() == answer.scores.tobytes(), case
            else:
                np.testing.assert_allclose(scores, answer.scores, rtol=2e-5, atol=2e-6)


def test_readme_commands_run(bundle, tmp_path):
    folder = tmp_path / "built"
    run(["cp", "-r", bundle.path, folder])
    blocks = re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), flags=re.S)
    assert len(blocks) == 2
    out = ""
    for block in blocks:
        if "cmake" in block and shutil.which("cmake") is None:
            pytest.skip("cmake is not installed")
        out += run(["sh", "-e", "-c", block], cwd=folder)
    assert "item-" in out
    assert '"p50_us"' in out


def test_the_source_compiles_without_warnings(tmp_path):
    write_core(tmp_path)
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler):
            for extra in ("-fhosted", "-ffreestanding"):
                strict = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", extra]
                run([compiler, *strict, "-c", "sparsedevice.c", "-o", "x.o"], cwd=tmp_path)


def test_tools_refuse_in_one_sentence(built, tmp_path):
    folder = shutil.copytree(built(), tmp_path / "built")
    whole = (folder / "model.sd").read_bytes()
    (folder / "cut.sd").write_bytes(whole[:-7])
    flipped = bytearray(whole)
    flipped[-40] ^= 1
    (folder / "flipped.sd").write_bytes(flipped)
    (folder / "empty.sd").write_bytes(b"")
    for arguments, sentence in (
        (["cut.sd"], "breaks the promise"),
        (["flipped.sd"], "breaks the promise"),
        (["empty.sd"], "not a packed file"),
        (["none.sd"], "No such file"),
        (["model.sd", "-u", "nobody"], "does not ship this user"),
        (["model.sd", "-k", "0"], "usage:"),
        (["model.sd", "-k"], "usage:"),
        ([], "usage:"),
    ):
        done = subprocess.run(
            ["./sd-recommend", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_compilers_that_fail(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setattr("sparsedevice.exporters.c.recommender._cores", {})
    with pytest.raises(SparseDeviceError, match="cannot run /nowhere/cc"):
        export(tiny_run(), "c", tmp_path / "b")
    monkeypatch.delenv("CC")
    (tmp_path / "bad.c").write_text("int main(void) { return nothing; }")
    with pytest.raises(SparseDeviceError, match="nothing"):
        run_compiler([*find_compiler(), tmp_path / "bad.c", "-o", tmp_path / "bad"])
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SparseDeviceError, match=r"none of cc, gcc, clang is installed"):
        find_compiler()
    assert not (tmp_path / "b").exists()
