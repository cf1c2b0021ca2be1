"""Every target on one table, beside the dense exports of the same runtimes, all asked the same.

    python -m benchmarks.exporters.targets_table --run RUN           a trained run, with its accuracy
    python -m benchmarks.exporters.targets_table --run RUN --users   asked by user, with user rows in the file
    python -m benchmarks.exporters.targets_table --items 1000000     random rows, 64 columns, 6.4 active

Arms take turns, in fresh processes of one thread; figures are medians. A query of a target is
``recommend(history, k=20)``, or ``recommend(user, k=20)``, from ids to ids. A query of a dense arm gathers
the user's row, or sums the history's rows, the cheapest rule there is; it works on row numbers, ids cost it
nothing. All leave out what the user has seen. Times are of the processor, which other work on the machine
changes less than those on the clock, which stand beside them. Memory is the growth from before the artefact
was opened, its runtime imported, to after the last query.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.exporters import dense
from sparsedevice.bench.memory import read_memory, release_free_memory, resident_file_bytes
from sparsedevice.bench.trace import Trace
from sparsedevice.data import Interactions, Split
from sparsedevice.exporters import Bundle, export
from sparsedevice.files import read_json, write_json
from sparsedevice.pack_run import known_before_test
from sparsedevice.packing import FoldIn
from sparsedevice.run import Run
from sparsedevice.training.config import TrainConfig
from sparsedevice.vocabulary import Vocabulary

TARGETS = ("packed", "c", "onnx", "onnx-native", "executorch", "executorch-ptd", "executorch-native")
DENSE = ("onnx dense fp32", "onnx dense int8", "executorch dense fp32", "executorch dense int8")
WARM, QUERIES = 2, 30
K = dense.K
RANDOM_USERS = WARM + QUERIES
QUESTIONS = "questions.json"


def random_run(n_items: int, dim: int = 64, mean: float = 6.4) -> Run:
    """A run with random rows, as long as those of a table at 90 % sparsity."""
    rng = np.random.default_rng(0)

    def random_rows(n: int) -> sp.csr_array:
        lengths = np.clip(rng.poisson(mean, n), 1, 20)
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        columns = rng.integers(0, dim, indptr[-1]).astype(np.int32)
        rows = sp.csr_array(
            (rng.standard_normal(indptr[-1]).astype(np.float32), columns, indptr), shape=(n, dim)
        )
        rows.sum_duplicates()
        return rows

    items, users = random_rows(n_items), random_rows(RANDOM_USERS)
    item_ids, user_ids = (Vocabulary([str(i) for i in range(n)]) for n in (n_items, RANDOM_USERS))
    of_user = np.repeat(np.arange(RANDOM_USERS, dtype=np.int32), 20)
    seen = rng.integers(0, n_items, len(of_user)).astype(np.int32)
    train = Interactions(of_user, seen, user_ids, item_ids)
    split = Split(train, None, None, "all is train")
    return Run(TrainConfig(dim=dim), items, users, split, "cosine", FoldIn(), {}, {})


def write_questions(folder: Path, run: Run, users: bool) -> None:
    """What is asked: ids and rows of the histories, and where ``users``, ids and rows of the users."""
    train, n_asked = run.split.train, WARM + QUERIES
    if users:
        assert run.users is not None, "this run has no user rows"
        rows = np.linspace(0, train.n_users - 1, n_asked).astype(np.int64)
        seen = known_before_test(run.split)
        histories = [seen.indices[seen.indptr[row] : seen.indptr[row + 1]].tolist() for row in rows]
        asked = [(train.user_ids.ids[row], int(row)) for row in rows]
    else:
        histories = [rows.tolist() for rows in Trace(train.n_items, n_queries=n_asked).histories()]
        asked = [(None, -1)] * n_asked
    ids = train.item_ids.ids
    questions = [
        {"user": user, "user_row": row, "history": [ids[i] for i in history], "rows": history}
        for (user, row), history in zip(asked, histories, strict=True)
    ]
    write_json(folder / QUESTIONS, {"questions": questions})


def with_fewer_users(run: Run, most: int) -> Run:
    """The run with a fixed random choice of so many users in its test part."""
    test = run.split.test
    if test is None:
        return run
    users = np.unique(test.user_index)
    chosen = np.random.default_rng(0).choice(users, min(most, len(users)), replace=False)
    kept = np.isin(test.user_index, chosen)
    fewer = Interactions(test.user_index[kept], test.item_index[kept], test.user_ids, test.item_ids)
    return replace(run, split=replace(run.split, test=fewer))


def _target(arm: str) -> str:
    """The target of an arm: one graph runs by standard operators and by the core."""
    return "onnx" if arm == "onnx-native" else arm


def prepare(arm: str, folder: Path, run: Run, values: str, users: bool) -> dict[str, Any]:
    """Write an arm's files; returns its accuracy where it has one."""
    if arm in TARGETS:
        made = folder / "manifest.json"
        if not made.is_file():  # else an arm before runs the same artefact
            export(run, _target(arm), folder, values=values, users=users, k=K)
        return dict(read_json(made)["accuracy"]["shipped" if users else "folded"] or {})
    if folder.exists():
        return {}
    folder.mkdir()
    write = dense.write_onnx if arm.startswith("onnx") else dense.write_executorch
    n_items, dim = run.items.shape
    write(folder, n_items, run.split.train.n_users if users else 0, dim, whole=arm.endswith("int8"))
    return {}


def measure(arm: str, folder: Path) -> dict[str, Any]:
    """One arm's figures, in this process."""
    questions = read_json(folder.parent / QUESTIONS)["questions"]
    if arm not in TARGETS:
        import_module("onnxruntime" if arm.startswith("onnx") else "executorch.runtime")
        open_dense = dense.open_onnx if arm.startswith("onnx") else dense.open_executorch
        rows = [(question["user_row"], np.array(question["rows"])) for question in questions]
        file_bytes = sum(file.stat().st_size for file in folder.iterdir())

        def open_arm() -> Callable[[], object]:
            ask, following = open_dense(folder), iter(rows)
            return lambda: ask(*next(following))

        return ask_often(open_arm, folder) | {"file_bytes": file_bytes}
    bundle = Bundle.load(folder)
    backend = "onnx-native" if arm == "onnx-native" else bundle.target.backend
    bundle.prepare(backend)
    asked = [
        {"history": question["history"]} if question["user"] is None else {"user": question["user"]}
        for question in questions
    ]

    def open_target() -> Callable[[], object]:
        recommender, following = bundle.open(backend, verify=False), iter(asked)
        return lambda: recommender.recommend(**next(following), k=K)

    return ask_often(open_target, folder) | {"file_bytes": bundle.artefact_bytes(backend)}


def ask_often(open_: Callable[[], Callable[[], object]], folder: Path) -> dict[str, float]:
    """Milliseconds and bytes of opening something and of asking it."""
    release_free_memory()
    before = read_memory()
    assert before is not None, "this measurement needs /proc/self/smaps_rollup"
    started = time.perf_counter()
    ask = open_()
    load_ms = (time.perf_counter() - started) * 1e3
    clock, busy = [], []
    for _ in range(WARM + QUERIES):
        started, working = time.perf_counter(), time.process_time()
        ask()
        busy.append((time.process_time() - working) * 1e3)
        clock.append((time.perf_counter() - started) * 1e3)
    after = read_memory()
    assert after is not None
    return {
        "load_ms": load_ms,
        "busy_ms": float(np.median(busy[WARM:])),
        "clock_ms": float(np.median(clock[WARM:])),
        "anonymous_bytes": after.anonymous_bytes - before.anonymous_bytes,
        "mapped_bytes": resident_file_bytes(folder) or 0,
        "grown_bytes": after.total_bytes - before.total_bytes,
    }


def in_fresh_process(arm: str, folder: Path) -> dict[str, float]:
    """One arm's figures."""
    command = [sys.executable, "-m", "benchmarks.exporters.targets_table", "--measure", arm]
    command += ["--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", action="store_true", help="Ask by user, with user rows in the files.")
    parser.add_argument("--fold-in", choices=("run", "sum"), default="run", help="Targets' fold-in rule.")
    parser.add_argument("--values", default="int8", help="Coding of the targets' values.")
    parser.add_argument(
        "--max-users", type=int, default=2000, help="Test users by whom accuracy is measured."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Turns of each arm.")
    parser.add_argument("--arms", default=",".join((*TARGETS, *DENSE)))
    parser.add_argument("--work", type=Path, help="Keep the arms' files in this folder, and use those there.")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.folder)))
        return
    run = Run.load(arguments.run) if arguments.run else random_run(arguments.items)
    run = with_fewer_users(run, arguments.max_users)
    if arguments.fold_in == "sum":
        run = replace(run, fold_in=FoldIn())
    n_items, dim = run.items.shape
    arms: list[str] = arguments.arms.split(",")
    with tempfile.TemporaryDirectory() as name:
        work = arguments.work or Path(name)
        work.mkdir(exist_ok=True)
        folders = {arm: work / _target(arm) for arm in arms}
        write_questions(work, run, arguments.users)
        accuracy = {
            arm: prepare(arm, folder, run, arguments.values, arguments.users)
            for arm, folder in folders.items()
        }
        turns = [{arm: in_fresh_process(arm, folders[arm]) for arm in arms} for _ in range(arguments.rounds)]
    asked = "a user" if arguments.users else f"a history, fold-in by {run.fold_in.kind}"
    print(f"{n_items:,} items, {dim} columns, {run.items.nnz / n_items:.1f} active, top {K} of {asked}\n")
    head = ("files MB", "load ms", "CPU ms", "clock ms", "anonymous MB", "mapped MB", "grown MB", "Recall@20")
    print(f"| arm | {' | '.join(head)} |\n| --- |{' ---: |' * len(head)}")
    for arm in arms:
        got = {key: float(np.median([turn[arm][key] for turn in turns])) for key in turns[0][arm]}
        megabytes = [f"{got[f'{part}_bytes'] / 1e6:.2f}" for part in ("file", "anonymous", "mapped", "grown")]
        times = [f"{got[key]:.3g}" for key in ("load_ms", "busy_ms", "clock_ms")]
        recall = f"{accuracy[arm][f'recall@{K}']:.4f}" if accuracy[arm] else ""
        print(f"| {arm} | {' | '.join((megabytes[0], *times, *megabytes[1:], recall))} |")


if __name__ == "__main__":
    main()
