"""Refresh beside its rivals on a log cut by time: the old model, one of the new part, one from scratch.

    python benchmarks/training/refresh.py DATA [--new 0.2] [--epochs 54] [--seeds 1]

DATA needs timestamps. The oldest part trains the old model; of each user's interactions in the newest part a
fifth is test. Recall@20 of the new and of the old test part, users folded in, and seconds of training.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsedevice.data import DataOptions, read_interactions
from sparsedevice.data.log import Log
from sparsedevice.data.splits import make_split
from sparsedevice.evaluation import evaluate_run
from sparsedevice.run import Run
from sparsedevice.training import train
from sparsedevice.training.refresh import refresh
from sparsedevice.training.refresh_data import joined_split, over


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--new", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=54)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--k-core", type=int, default=5)
    parser.add_argument("--priors", default="0,100")
    parser.add_argument("--refresh", default="{}", help="settings of the refresh, JSON")
    arguments = parser.parse_args()
    log = read_interactions(arguments.data, DataOptions(k_core=arguments.k_core))
    cut = np.quantile(log.timestamp, 1 - arguments.new)
    settings = {"validation_every": 0}
    shared: dict[str, Any] = {"epochs": arguments.epochs, "threads": 1, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        for seed in range(arguments.seeds):
            options = DataOptions(seed=seed, split="random")
            old, new = (
                make_split(Log(log.select(mask).compact(), None, (arguments.data,)), options)
                for mask in (log.timestamp < cut, log.timestamp >= cut)
            )
            joined = joined_split(old, new)
            base = train(old, out, **shared, seed=seed, settings=settings)
            report("old", seed, base, {})
            alone = train(new, out, **shared, seed=seed, settings=settings)
            report("new alone", seed, alone, {"new_test": evaluate_run(alone, users="folded")["recall@20"]})
            scratch = train(joined, out, **shared, seed=seed, settings=settings)
            found = {}
            for name, part in (("new_test", new.test), ("old_test", old.test)):
                arm = replace(scratch, split=replace(joined, test=over(joined, part)))
                found[name] = evaluate_run(arm, users="folded")["recall@20"]
            report("from scratch", seed, scratch, found)
            for prior in (float(text) for text in arguments.priors.split(",")):
                run = refresh(
                    base, new, out, prior=prior, threads=1, progress=False,
                    settings={**settings, **json.loads(arguments.refresh)},
                )  # fmt: skip
                report(f"refresh, prior {prior:g}", seed, run, run.metrics["refresh"])


def report(name: str, seed: int, run: Run, figures: dict[str, Any]) -> None:
    seconds = run.metrics["training"]["seconds"]
    print(json.dumps({"arm": name, "seed": seed, "seconds": round(seconds, 1), **figures}), flush=True)


if __name__ == "__main__":
    main()
