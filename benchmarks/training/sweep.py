"""Train one model per line of settings and write one JSON line of results per model.

    python benchmarks/training/sweep.py DATA SETTINGS.jsonl RESULTS.jsonl [--test] [--validation 0.1]

Each line of SETTINGS is a JSON object of ``TrainConfig`` fields, and may have a "name". Choose on the
validation cut; ``--test`` also measures the test part, for final configurations only. With ``"refit": true``
the test figures are of the model trained on train and validation, and ``metrics.first_pass`` has the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sparsedevice.data import DataOptions, load_split
from sparsedevice.run import Run
from sparsedevice.training import TrainConfig
from sparsedevice.training.trainer import fast_precision, fit, measure_test


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("settings", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--validation", type=float, default=0.1)
    parser.add_argument("--fold", action="store_true", help="choose a fold-in rule too")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    import torch  # after sparsedevice.training, which says how its threads wait

    torch.set_num_threads(arguments.threads)
    split = load_split(arguments.data, DataOptions(validation_fraction=arguments.validation))
    train = split.train

    def measured(run: Run) -> dict[str, Any]:
        found = measure_test(run)
        if not arguments.fold and run.users is not None:
            del found["test_folded"]  # of the plain sum, which nobody has chosen
        return found

    for line in arguments.settings.read_text().splitlines():
        if not line.strip():
            continue
        settings: dict[str, Any] = json.loads(line)
        name = settings.pop("name", line)
        config = TrainConfig.from_json(settings).resolve(train.n_users, train.n_items, len(train))
        config = replace(config, precision=config.precision or fast_precision(config.device))
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run = fit(
                split,
                config,
                out=Path(folder),
                source={},
                fold=arguments.fold,
                measure=measured if arguments.test else None,
            )
        result: dict[str, Any] = {
            "name": name,
            "seconds": time.monotonic() - started,
            "config": config.to_json(),
        }
        result["metrics"] = run.metrics
        if arguments.test:
            parts = ("test", "test_folded")
            result |= {part: run.metrics.pop(part) for part in parts if part in run.metrics}
        with arguments.results.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(summary(result), flush=True)


def summary(result: dict[str, Any]) -> str:
    metrics = result["metrics"]
    chosen_by = metrics.get("first_pass", metrics)
    history = " ".join(f"{entry['recall@20']:.4f}" for entry in chosen_by["history"])
    text = f"{result['name']}: validation {history} kept epoch {chosen_by['training']['kept_epoch']}"
    if "validation_recall@20" in chosen_by["fold_in"]:
        text += f" folded {max(chosen_by['fold_in']['validation_recall@20'].values()):.4f}"
    if "pruning" in chosen_by:
        floors = chosen_by["pruning"]["validation_recall@20 by floor"]
        text += " pruned " + " ".join(f"{floor}: {value:.4f}" for floor, value in floors.items())
    for part in ("test", "test_folded"):
        if part in result:
            text += f" {part} {result[part]['recall@20']:.4f}"
    return f"{text} memory {metrics['memory']['share_of_dense']:.1%} {result['seconds']:.0f} s"


if __name__ == "__main__":
    main()
