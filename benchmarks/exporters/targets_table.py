"""Every target on one table, beside the dense exports of the same runtimes.

    python -m benchmarks.exporters.targets_table --run RUN        a trained run, with its accuracy
    python -m benchmarks.exporters.targets_table --items 1000000  random rows, 64 columns, 6.4 active

Every arm runs in a fresh process, one thread. A query of a target is ``recommend(history, k=20)`` from ids to
ids, with fold-in and exclusion; a query of a dense arm is the product and the choice alone, from a query
vector. Targets other than ``packed`` find the ids of a history in Python, which takes most of a tenth of a
millisecond.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.exporters.onnx_memory import measure as measure_dense_onnx
from benchmarks.exporters.onnx_memory import write_dense
from sparsedevice.bench import bench
from sparsedevice.bench.memory import read_memory, release_free_memory, resident_file_bytes
from sparsedevice.data import Interactions, Split
from sparsedevice.exporters import export, find_target
from sparsedevice.files import read_json
from sparsedevice.packing import FoldIn
from sparsedevice.run import Run
from sparsedevice.training.config import TrainConfig
from sparsedevice.vocabulary import Vocabulary

TARGETS = ("packed", "c", "onnx", "onnx-native", "executorch", "executorch-ptd", "executorch-native")
DENSE = ("onnx dense fp32", "onnx dense int8", "executorch dense fp32 (XNNPACK)")
K = 20


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


def write_dense_executorch(folder: Path, n_items: int, dim: int) -> None:
    """The usual export: a linear layer lowered to XNNPACK, then topk."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Linear(dim, n_items, bias=False)

        def forward(self, query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores, rows = torch.topk(self.table(query), K)
            return rows, scores

    exported = torch.export.export(Dense().eval(), (torch.zeros(1, dim),))
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    (folder / "model.pte").write_bytes(lowered.to_executorch().buffer)


def measure_dense_executorch(folder: Path, dim: int) -> dict[str, Any]:
    """Bytes and milliseconds of the dense program."""
    import torch
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    runtime = Runtime.get()
    query = torch.randn(1, dim)
    release_free_memory()
    before = read_memory()
    started = time.perf_counter()
    program = runtime.load_program(folder / "model.pte")
    method = program.load_method("forward")
    load_ms = (time.perf_counter() - started) * 1e3
    samples = []
    for _ in range(30):
        started = time.perf_counter()
        method.execute([query])
        samples.append((time.perf_counter() - started) * 1e3)
    after = read_memory()
    assert before is not None, "this measurement needs /proc/self/smaps_rollup"
    assert after is not None
    return {
        "file_bytes": (folder / "model.pte").stat().st_size,
        "load_ms": load_ms,
        "p50_ms": float(np.median(samples)),
        "anonymous_bytes": after.anonymous_bytes - before.anonymous_bytes,
        "mapped_bytes": resident_file_bytes(folder),
    }


def _target(arm: str) -> str:
    """The target of an arm: one graph runs by standard operators and by the core."""
    return "onnx" if arm == "onnx-native" else arm


def prepare(arm: str, folder: Path, run: Run, max_users: int) -> dict[str, Any]:
    """Write an arm's files; returns its accuracy where it has one."""
    n_items, dim = run.items.shape
    if arm in TARGETS:
        made = folder / "bundle" / "manifest.json"
        if not made.is_file():  # else an arm before runs the same artefact
            export(run, _target(arm), folder / "bundle", k=K, max_users=max_users)
        return dict(read_json(made)["accuracy"]["folded"] or {})
    if arm.startswith("onnx"):
        write_dense(folder, n_items, dim, whole=arm.endswith("int8"))
    else:
        write_dense_executorch(folder, n_items, dim)
    return {}


def measure(arm: str, folder: Path, n_items: int, dim: int) -> dict[str, Any]:
    """One arm's figures, in this process."""
    if arm in TARGETS:
        backend = find_target(_target(arm)).native_backend if arm == "onnx-native" else None
        got = bench(folder / "bundle", backend=backend, k=K, repetitions=30, min_seconds=2.0)
        return {
            "file_bytes": got["file_bytes"],
            "load_ms": got["load_ms"],
            "p50_ms": got["p50_us"] / 1000,
            "anonymous_bytes": got["anonymous_bytes"],
            "mapped_bytes": got["resident_file_bytes"],
        }
    if arm.startswith("onnx"):
        got = measure_dense_onnx(folder, n_items, dim, arm=arm)
        return {**got, "mapped_bytes": got["table_mapped_bytes"]}
    return measure_dense_executorch(folder, dim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument(
        "--max-users", type=int, default=2000, help="Test users by whom accuracy is measured."
    )
    parser.add_argument("--arms", default=",".join((*TARGETS, *DENSE)))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dim", type=int, default=64, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.folder, arguments.items, arguments.dim)))
        return
    run = Run.load(arguments.run) if arguments.run else random_run(arguments.items)
    n_items, dim = run.items.shape
    print(f"{n_items:,} items, {dim} columns, {run.items.nnz / n_items:.1f} active, top {K}\n")
    print("| arm | files MB | load ms | median ms | anonymous MB | mapped and resident MB | Recall@20 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        for arm in arguments.arms.split(","):
            folder = Path(name) / _target(arm)
            folder.mkdir(exist_ok=True)
            accuracy = prepare(arm, folder, run, arguments.max_users)
            command = [sys.executable, "-m", "benchmarks.exporters.targets_table", "--measure", arm]
            command += ["--folder", str(folder), "--items", str(n_items), "--dim", str(dim)]
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            got = json.loads(done.stdout.splitlines()[-1])
            recall = f"{accuracy[f'recall@{K}']:.4f}" if accuracy else ""
            print(
                f"| {arm} | {got['file_bytes'] / 1e6:.2f} | {got['load_ms']:.1f} | {got['p50_ms']:.3f} |"
                f" {got['anonymous_bytes'] / 1e6:.1f} | {got['mapped_bytes'] / 1e6:.1f} | {recall} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
