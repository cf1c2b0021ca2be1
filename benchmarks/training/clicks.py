"""Train DLRM with each way of making it smaller, and print AUC, log loss, operations and bytes.

    python benchmarks/training/clicks.py DATA RESULTS.jsonl [--seeds 0 1 2] [--arms dense sparserec …]
    python benchmarks/training/clicks.py --table RESULTS.jsonl

One JSON line per run; a run that RESULTS already holds is not repeated. Settings were chosen on the
validation cut; each run looks at test once. ``--table`` prints means and standard deviations over the seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from sparsedevice.data.click_options import ClickOptions
from sparsedevice.data.load_clicks import load_clicks
from sparsedevice.training.clicks import train_clicks

ARMS: dict[str, dict[str, Any]] = {
    "dense": {"sparsity": 0.0},
    "dense, narrow": {"sparsity": 0.0, "dim": 8},
    "sparserec": {"sparsity": 0.9},
    "dsl": {"sparsity": 0.9, "method": "dsl"},
    "static": {"sparsity": 0.9, "method": "static"},
    "sparserec + pruned towers": {"sparsity": 0.9, "tower_sparsity": 0.5, "cycles": 1},
    "pruned once": {"method": "amgp", "sparsity": 0.5, "cycles": 1},
    "alternating, ends pruned": {"method": "amgp", "sparsity": 0.5, "cycles": 2},
    "alternating, ends full": {"method": "amgp", "sparsity": 0.5, "cycles": 2, "finish": "full"},
}
COLUMNS = (
    "test AUC",
    "log loss",
    "training GMACs",
    "inference MACs",
    "table bytes",
    "tower bytes",
    "of dense peak",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?")
    parser.add_argument("results", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", default="{}", help="settings of all arms, a JSON object")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments)
    print(table(read(arguments.results)))


def measure(arguments: argparse.Namespace) -> None:
    common = {**json.loads(arguments.set), "threads": arguments.threads}
    # One split for all seeds: what varies is the model's own randomness.
    split = load_clicks(arguments.data, ClickOptions(seed=0))
    done = {(result["arm"], result["seed"]) for result in read(arguments.results)}
    for seed in arguments.seeds:
        for arm in arguments.arms:
            if (arm, seed) in done:
                continue
            settings = {**common, **ARMS[arm], "seed": seed}
            with tempfile.TemporaryDirectory() as folder:
                run = train_clicks(split, Path(folder) / "run", settings=settings)
            result = {"data": Path(arguments.data).name, "arm": arm, "seed": seed}
            result |= {"config": run.config.to_json(), "split": split.rule, "metrics": run.metrics}
            with arguments.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{arm}, seed {seed}: {run.metrics['test']}", flush=True)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(results: list[dict[str, Any]]) -> str:
    lines = ["| | seeds | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for arm in ARMS:
        found = [figures(result["metrics"]) for result in results if result["arm"] == arm]
        if found:
            cells = (spread(list(column), place) for place, column in enumerate(zip(*found, strict=True)))
            lines.append(f"| {arm} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figures(metrics: dict[str, Any]) -> tuple[float, ...]:
    return (
        metrics["test"]["auc"],
        metrics["test"]["log_loss"],
        metrics["training"]["macs"] / 1e9,
        metrics["inference"]["macs"],
        metrics["inference"]["table_bytes"],
        metrics["inference"]["tower_bytes"],
        metrics["memory"]["share_of_dense"],
    )


def spread(values: list[float], place: int) -> str:
    if place < 2:
        return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
    return f"{mean(values):.1%}" if place == 6 else f"{mean(values):,.{int(place == 2)}f}"


if __name__ == "__main__":
    main()
