"""Every target on one table, beside the dense exports of the same runtimes.

    python -m benchmarks.exporters.targets_table --run RUN        a trained run, with its accuracy
    python -m benchmarks.exporters.targets_table --items 1000000  random rows, 64 columns, 6.4 active

Arms take turns, in fresh processes of one thread; figures are medians. A query of a target is
``recommend(history, k=20)`` from ids to ids, with fold-in and exclusion; a query of a dense arm is the
product and the choice alone, from a query vector. Targets other than ``packed`` find the ids of a history in
Python, which takes up to a millisecond. Times are of the processor, which other work on the
machine changes less than those on the clock, which stand beside them. Memory is the growth from before the
artefact was opened, its runtime imported, to after the last query.
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
from sparsedevice.files import read_json
from sparsedevice.packing import FoldIn, PackedFile
from sparsedevice.run import Run
from sparsedevice.training.config import TrainConfig
from sparsedevice.vocabulary import Vocabulary

TARGETS = ("packed", "c", "onnx", "onnx-native", "executorch", "executorch-ptd", "executorch-native")
DENSE = ("onnx dense fp32", "onnx dense int8", "executorch dense fp32", "executorch dense int8")
WARM, QUERIES = 2, 30
K = dense.K


def random_run(n_items: int, dim: int = 64, mean: float = 6.4) -> Run:
    """A run with random rows, as long as those of a table at 90 % sparsity."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.poisson(mean, n_items), 1, 20)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    columns = rng.integers(0, dim, indptr[-1]).astype(np.int32)
    items = sp.csr_array(
        (rng.standard_normal(indptr[-1]).astype(np.float32), columns, indptr), shape=(n_items, dim)
    )
    items.sum_duplicates()
    item_ids = Vocabulary([str(i) for i in range(n_items)])
    users = np.repeat(np.arange(3, dtype=np.int32), 20)
    chosen = rng.choice(n_items, 60, replace=False).astype(np.int32)
    train = Interactions(users, chosen, Vocabulary(["0", "1", "2"]), item_ids)
    config = TrainConfig(dim=dim)
    return Run(config, items, None, Split(train, None, None, "all is train"), "cosine", FoldIn(), {}, {})


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


def prepare(arm: str, folder: Path, run: Run, values: str) -> dict[str, Any]:
    """Write an arm's files; returns its accuracy where it has one."""
    if arm in TARGETS:
        made = folder / "manifest.json"
        if not made.is_file():  # else an arm before runs the same artefact
            export(run, _target(arm), folder, values=values, k=K)
        return dict(read_json(made)["accuracy"]["folded"] or {})
    folder.mkdir()
    write = dense.write_onnx if arm.startswith("onnx") else dense.write_executorch
    write(folder, *run.items.shape, whole=arm.endswith("int8"))
    return {}


def measure(arm: str, folder: Path, dim: int) -> dict[str, Any]:
    """One arm's figures, in this process."""
    if arm not in TARGETS:
        import_module("onnxruntime" if arm.startswith("onnx") else "executorch.runtime")
        open_dense = dense.open_onnx if arm.startswith("onnx") else dense.open_executorch
        file_bytes = sum(file.stat().st_size for file in folder.iterdir())
        return ask_often(lambda: open_dense(folder, dim), folder) | {"file_bytes": file_bytes}
    bundle = Bundle.load(folder)
    backend = "onnx-native" if arm == "onnx-native" else bundle.target.backend
    bundle.prepare(backend)
    ids = PackedFile.open(folder / "model.sd", verify=False).vocabulary.ids
    rows = Trace(len(ids), n_queries=QUERIES).histories()
    asked = [[ids[row] for row in history.tolist()] for history in rows]
    del ids

    def open_target() -> Callable[[], object]:
        recommender, histories = bundle.open(backend, verify=False), iter(asked[:WARM] + asked)
        return lambda: recommender.recommend(history=next(histories), k=K)

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


def in_fresh_process(arm: str, folder: Path, dim: int) -> dict[str, float]:
    """One arm's figures."""
    command = [sys.executable, "-m", "benchmarks.exporters.targets_table", "--measure", arm]
    command += ["--folder", str(folder), "--dim", str(dim)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--values", default="int8", help="Coding of the targets' values.")
    parser.add_argument(
        "--max-users", type=int, default=2000, help="Test users by whom accuracy is measured."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Turns of each arm.")
    parser.add_argument("--arms", default=",".join((*TARGETS, *DENSE)))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dim", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.folder, arguments.dim)))
        return
    run = Run.load(arguments.run) if arguments.run else random_run(arguments.items)
    run = with_fewer_users(run, arguments.max_users)
    n_items, dim = run.items.shape
    arms: list[str] = arguments.arms.split(",")
    with tempfile.TemporaryDirectory() as name:
        folders = {arm: Path(name) / _target(arm) for arm in arms}
        accuracy = {arm: prepare(arm, folder, run, arguments.values) for arm, folder in folders.items()}
        turns = [
            {arm: in_fresh_process(arm, folders[arm], dim) for arm in arms} for _ in range(arguments.rounds)
        ]
    print(f"{n_items:,} items, {dim} columns, {run.items.nnz / n_items:.1f} active, top {K}\n")
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
