"""Multiply-adds of an epoch of matrix factorisation: what its products perform, and what its entries need.

    python benchmarks/training/operations.py DATA [--dim 128] [--sparsity 0,0.8,0.9,0.95]

A step has three products of users x items of its sample: scores, the users' gradient and the items' gradient.
Dense products of expanded rows take 3 U J d in all, whatever the sparsity: that is *performed*, by dense
tables, on a GPU, and where more than a quarter of the entries is active; others take what is *needed*.
*Needed* counts as DSL's paper (arXiv 2402.02855) and RigL's do, by active entries: a score takes the
k entries of the item's row, and so does the users' whole gradient; the items' takes those of the user's
row, or d where users are dense. Inactive entries get their gradients from the same sums: growth and
projection need no product more. ``--sparsity`` of methods that train dense tables is 0.
"""

from __future__ import annotations

import argparse

from sparsedevice.data import DataOptions, load_split
from sparsedevice.training import TrainConfig
from sparsedevice.training.batches import UserBatches


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--sparsity", default="0,0.8,0.9,0.95")
    arguments = parser.parse_args()
    train = load_split(arguments.data, DataOptions()).train
    dim = arguments.dim
    config = TrainConfig(dim=dim).resolve(train.n_users, train.n_items, len(train))
    assert config.batch_users is not None
    assert config.negatives is not None
    batches = UserBatches(train.matrix(), config.batch_users, config.negatives, config.seed)
    order = batches.order(0)
    pairs = 0
    for step in range(batches.steps_per_epoch):
        batch = batches.batch(order, 0, step)
        pairs += len(batch.users) * len(batch.items)
    print(f"{len(train):,} interactions, {batches.steps_per_epoch} steps, {pairs:,} pairs scored\n")
    print("| sparsity | active of a row | performed | needed, both sparse | needed, items sparse |")
    print("|---|---|---|---|---|")
    for sparsity in map(float, arguments.sparsity.split(",")):
        active = dim if sparsity == 0 else max(1, int((1 - sparsity) * dim))
        performed, both, items = (pairs * n / 1e9 for n in (3 * dim, 3 * active, 2 * active + dim))
        print(f"| {sparsity:g} | {active} of {dim} | {performed:.1f} G | {both:.1f} G | {items:.1f} G |")


if __name__ == "__main__":
    main()
