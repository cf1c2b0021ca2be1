"""What steps and rows of a fold-in by gradient steps buy: recall of a run's validation part.

    python benchmarks/training/fold_steps.py RUN [--steps 16x2048,8x2048,16x512] [--users 15000]

The users are others than the 3,000 that ``train`` chooses by. The first pair of steps and rows is what the
others are compared with, user by user: the difference of the means, and its standard error.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsedevice.evaluation.folding import folded_queries
from sparsedevice.evaluation.metrics import hits, recall
from sparsedevice.evaluation.ranking import rank
from sparsedevice.packing.fold_in import Steps
from sparsedevice.run import Run
from sparsedevice.training.fold_in import USERS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", default="16x2048,8x2048,16x512,8x1024,8x512")
    parser.add_argument("--users", type=int, default=15_000)
    arguments = parser.parse_args()
    run = Run.load(arguments.run)
    rule = run.fold_in.rule
    if run.split.validation is None or not isinstance(rule, Steps):
        raise SystemExit(f"{arguments.run} has no validation part, or does not fold in by steps")
    train, held = run.split.train.matrix(), run.split.validation.matrix()
    users = np.flatnonzero((np.diff(held.indptr) > 0) & (np.diff(train.indptr) > 0))
    users = np.random.default_rng([run.config.seed, 5]).permutation(users)[USERS:][: arguments.users]
    users.sort()
    first = None
    print("| steps | rows | validation Recall@20 | less than the first | standard error |")
    print("|---:|---:|---:|---:|---:|")
    for pair in arguments.steps.split(","):
        count, rows = map(int, pair.split("x"))
        fold_in = replace(run.fold_in, rule=replace(rule, count=count, rows=rows))
        queries = folded_queries(run.items, run.similarity, fold_in, train)
        top = rank(queries, run.items, users, 20, seen=train, network=run.network)
        found = recall(hits(top, held, users), np.diff(held.indptr)[users])
        first = found if first is None else first
        less = first - found
        error = less.std() / np.sqrt(len(less))
        print(f"| {count} | {rows:,} | {found.mean():.4f} | {less.mean():.4f} | {error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
