"""Where the entries of a sparse item table are, and what is found there: by how popular items are.

    python benchmarks/training/popularity.py RUN... [--groups 5] [--users folded]

Items are ordered by their interactions in train and cut into groups of equal size, the most popular first.
"Recall" is the share of a group's test interactions that are among their user's 20 items, "share of lists"
how many of all recommended items are of the group; interactions and active entries are means of an item.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from sparsedevice.evaluation.evaluate import split_parts
from sparsedevice.evaluation.folding import folded_queries, inverse_norms
from sparsedevice.evaluation.ranking import rank, table_queries
from sparsedevice.run import Run

K = 20


def top_of(run: Run, users: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of users with a test part, and their K best items."""
    _, seen, rows = split_parts(run.split, "test")
    scale = inverse_norms(run.items) if run.similarity == "cosine" else None
    if users == "folded" or run.users is None:
        queries = folded_queries(run.items, run.similarity, run.fold_in, seen)
    else:
        queries = table_queries(run.users)
    return rows, rank(queries, run.items, rows, K, seen=seen, row_scale=scale, network=run.network)


def print_table(folder: str, n_groups: int, users: str) -> None:
    """One line for each group of a run's items."""
    run = Run.load(folder)
    relevant, seen, _ = split_parts(run.split, "test")
    count = np.bincount(seen.indices, minlength=run.items.shape[0])
    group = np.empty(len(count), np.int64)
    group[np.argsort(-count, kind="stable")] = np.arange(len(count)) * n_groups // len(count)
    active = np.diff(run.items.indptr)
    rows, top = top_of(run, users)
    shape = relevant.shape
    asked = np.repeat(rows, top.shape[1]) * shape[1] + top.ravel()
    wanted = np.repeat(np.arange(shape[0]), np.diff(relevant.indptr)) * shape[1] + relevant.indices
    found = np.isin(wanted, asked)
    shown = np.bincount(group[top.ravel()], minlength=n_groups)
    print(f"\n{folder}: {run.config.method}, fan-in {run.config.fan_in}, users {users}\n")
    print("| items | interactions | active entries | test interactions | recall | share of lists |")
    print("|---|---:|---:|---:|---:|---:|")
    for g in range(n_groups):
        mine, test = group == g, group[relevant.indices] == g
        name = f"{100 * g // n_groups}-{100 * (g + 1) // n_groups} %"
        print(
            f"| {name} | {count[mine].mean():.1f} | {active[mine].mean():.2f} | {test.sum():,} "
            f"| {found[test].mean():.4f} | {shown[g] / shown.sum():.1%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--users", choices=("trained", "folded"), default="folded")
    arguments = parser.parse_args()
    for folder in arguments.runs:
        print_table(folder, arguments.groups, arguments.users)


if __name__ == "__main__":
    main()
