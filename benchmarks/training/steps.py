"""Examples per second of sparse matrix factorisation beside dense ones: same loss, users a step, batches.

    python benchmarks/training/steps.py DATA [--arms 25/256,12/128,64,128] [--threads 1] [--rounds 5]
    python benchmarks/training/steps.py DATA --memory

An arm is a dense width, or active entries / width with the default method. All arms are in memory at once and
take turns, ``--steps`` steps (three: one of them cuts the items' rows to their largest entries) in each of
the rounds, so that what else runs on the machine meets them alike. Printed are the medians of the rounds, in
milliseconds of processor time (of all threads) and by the clock, and positives a second by either. Sparse
tables begin from random columns, which take the same time as learnt ones and no factorisation.

With ``--memory`` each arm has a process of its own, and printed are megabytes: of tables, optimiser and
method state, and by how much the steps raise the peak of the process above what it held before the first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from sparsedevice.data import DataOptions, load_split
from sparsedevice.training import TrainConfig
from sparsedevice.training.batches import Batch, UserBatches

PAGE_BYTES = resource.getpagesize()


class Arms:
    """Models by arm, and the batches that all of them take."""

    def __init__(self, arguments: argparse.Namespace, names: list[str]) -> None:
        import torch  # after sparsedevice.training, which says how its threads wait

        from sparsedevice.models.build import build_model
        from sparsedevice.training.trainer import fast_precision

        torch.set_num_threads(arguments.threads)
        train = load_split(arguments.data, DataOptions(validation_fraction=0)).train
        matrix = train.matrix()
        self.models = {}
        for arm in names:
            active, _, width = arm.rpartition("/")
            sparsity = 1 - (int(active) + 0.5) / int(width) if active else 0.0
            config = TrainConfig(sparsity=sparsity, dim=int(width), initial="random" if active else None)
            config = config.resolve(train.n_users, train.n_items, len(train))
            self.models[arm] = build_model(replace(config, precision=fast_precision("cpu")), matrix)
        assert config.batch_users is not None
        assert config.negatives is not None
        assert config.lr is not None
        self.config, self.lr = config, config.lr
        batches = UserBatches(matrix, config.batch_users, config.negatives, config.seed)
        order = batches.order(0)
        self.batches: list[Batch] = [batches.batch(order, 0, step) for step in range(arguments.steps)]

    def run(self, arm: str) -> None:
        """All steps of an arm."""
        for step, batch in enumerate(self.batches):
            self.models[arm].step(batch, self.lr, step=step, last=False, progress=0.1)


def time_steps(arguments: argparse.Namespace) -> None:
    """Print the table of times."""
    arms = Arms(arguments, arguments.arms.split(","))
    times = {arm: np.zeros((arguments.rounds, 2)) for arm in arms.models}
    # The first round is not counted: memory is new to it.
    for turn in range(-1, arguments.rounds):
        for arm in arms.models:
            before = np.array([time.process_time(), time.perf_counter()])
            arms.run(arm)
            if turn >= 0:
                times[arm][turn] = [time.process_time(), time.perf_counter()] - before
    n_steps = len(arms.batches)
    positives = sum(len(batch.user) for batch in arms.batches)
    print(
        f"{arms.config.loss}, {arms.config.batch_users} users and {positives / n_steps:.0f} positives a step"
    )
    print("| arm | ms of processor | ms by the clock | positives/s of processor | by the clock |")
    print("|---|---|---|---|---|")
    for arm, found in times.items():
        middle = np.median(found, axis=0)
        processor, clock = 1000 * middle / n_steps
        rates = " | ".join(f"{positives / seconds:,.0f}" for seconds in middle)
        print(f"| {arm} | {processor:.0f} | {clock:.0f} | {rates} |")


def measure_memory(arguments: argparse.Namespace, arm: str) -> tuple[float, float]:
    """Bytes of an arm's tables, optimiser and method, and of what its steps need beside them."""
    arms = Arms(arguments, [arm])
    model = arms.models[arm]
    kept = sum(part.nbytes() for part in (*model.tables.values(), *model.movers.values()))
    # The kernel's mark of the peak goes back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    arms.run(arm)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    return kept, peak - resident


def print_memory(arguments: argparse.Namespace) -> None:
    """Print the table of megabytes."""
    print("| arm | tables, optimiser and method, MB | a step beside them, MB |")
    print("|---|---|---|")
    for arm in arguments.arms.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            kept, step = pool.apply(measure_memory, (arguments, arm))
        print(f"| {arm} | {kept / 1e6:.1f} | {step / 1e6:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--arms", default="25/256,12/128,64,128")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure memory, not time (Linux)")
    arguments = parser.parse_args()
    (print_memory if arguments.memory else time_steps)(arguments)


if __name__ == "__main__":
    main()
