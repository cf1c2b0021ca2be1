"""Examples per second of sparse matrix factorisation beside dense ones: same loss, users a step, batches.

    python benchmarks/training/steps.py DATA [--arms 25/256,12/128,64,128] [--threads 1] [--rounds 5]

An arm is a dense width, or active entries / width with the default method. All arms are in memory at once and
take turns, ``--steps`` steps (three: one of them cuts the items' rows to their largest entries) in each of
the rounds, so that what else runs on the machine meets them alike. Printed are the medians of the rounds, in
milliseconds of processor time (of all threads) and by the clock, and positives a second by either. Sparse
tables begin from random columns, which take the same time as learnt ones and no factorisation.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from sparsedevice.data import DataOptions, load_split
from sparsedevice.training import TrainConfig
from sparsedevice.training.batches import UserBatches


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--arms", default="25/256,12/128,64,128")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    import torch  # after sparsedevice.training, which says how its threads wait

    from sparsedevice.models.build import build_model
    from sparsedevice.training.trainer import fast_precision

    torch.set_num_threads(arguments.threads)
    train = load_split(arguments.data, DataOptions(validation_fraction=0)).train
    matrix = train.matrix()
    models, times = {}, {}
    for arm in arguments.arms.split(","):
        active, _, width = arm.rpartition("/")
        sparsity = 1 - (int(active) + 0.5) / int(width) if active else 0.0
        config = TrainConfig(sparsity=sparsity, dim=int(width), initial="random" if active else None)
        config = config.resolve(train.n_users, train.n_items, len(train))
        models[arm] = build_model(replace(config, precision=fast_precision("cpu")), matrix)
        times[arm] = np.zeros((arguments.rounds, 2))
    assert config.batch_users is not None
    assert config.negatives is not None
    assert config.lr is not None
    batches = UserBatches(matrix, config.batch_users, config.negatives, config.seed)
    order = batches.order(0)
    # The first round is not counted: memory is new to it.
    chosen = [batches.batch(order, 0, step) for step in range(arguments.steps)]
    for turn in range(-1, arguments.rounds):
        for arm, model in models.items():
            before = np.array([time.process_time(), time.perf_counter()])
            for step, batch in enumerate(chosen):
                model.step(batch, config.lr, step=step, last=False, progress=0.1)
            if turn >= 0:
                times[arm][turn] = [time.process_time(), time.perf_counter()] - before
    positives = sum(len(batch.user) for batch in chosen)
    print(f"{config.loss}, {config.batch_users} users and {positives / len(chosen):.0f} positives a step")
    print("| arm | ms of processor | ms by the clock | positives/s of processor | by the clock |")
    print("|---|---|---|---|---|")
    for arm, found in times.items():
        middle = np.median(found, axis=0)
        processor, clock = 1000 * middle / len(chosen)
        rates = " | ".join(f"{positives / seconds:,.0f}" for seconds in middle)
        print(f"| {arm} | {processor:.0f} | {clock:.0f} | {rates} |")


if __name__ == "__main__":
    main()
