"""Recall by bytes a row: each width and fan-in, trained once, measured in 8 and 4 bits; for ``--budget``.

    python benchmarks/training/shapes.py DATA RESULTS.jsonl --shapes 64x4,64x8,128x8 [--epochs 20]

A shape is width x fan-in. Recall@20 is of the validation part, users folded in from their histories.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse

from sparsedevice.data import DataOptions, load_split
from sparsedevice.evaluation import evaluate_run
from sparsedevice.packing.quantize import quantize
from sparsedevice.training import TrainConfig
from sparsedevice.training.trainer import fast_precision, fit


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("results", type=Path)
    parser.add_argument("--shapes", required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    import torch  # after sparsedevice.training, which says how its threads wait

    torch.set_num_threads(arguments.threads)
    split = load_split(arguments.data, DataOptions())
    train = split.train
    for shape in arguments.shapes.split(","):
        dim, fan_in = (int(number) for number in shape.split("x"))
        config = TrainConfig(dim=dim, sparsity=1 - fan_in / dim, epochs=arguments.epochs, validation_every=0)
        config = config.resolve(train.n_users, train.n_items, len(train))
        config = replace(config, precision=fast_precision(config.device))
        with tempfile.TemporaryDirectory() as folder:
            run = fit(split, config, out=Path(folder), source={})
        for values, bits in (("int8", 8), ("int4", 4)):
            rows = quantize(run.items, values, "cosine", name="item")
            items = scipy.sparse.csr_array(
                (rows.values.astype(np.float32), rows.columns, rows.indptr), shape=run.items.shape
            )
            size = fan_in * (1 if dim <= 256 else 2) + fan_in * bits / 8 + 4
            found = evaluate_run(replace(run, items=items), part="validation", users="folded")
            result = {"dim": dim, "fan_in": fan_in, "values": values, "row_bytes": size}
            result["recall@20"] = found["recall@20"]
            rules = run.metrics["fold_in"]["validation_recall@20"]
            result["plain_share"] = max(v for name, v in rules.items() if "ridge" not in name) / max(
                rules.values()
            )
            with arguments.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
