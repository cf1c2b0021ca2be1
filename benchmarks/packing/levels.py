"""Recall against bytes where values have fewer levels than 4 bits hold: 5, 3, 2 or 1 of each sign.

    python benchmarks/packing/levels.py RUN... [--users trained]

Bytes are those of an item in the compact file, whose entropy coder spends on a value what its few levels
need; what becomes zero is left out. The scan layout would stay that of int4. A run that was trained with
fewer entries is the arm to compare with: see ``benchmarks/training/frontier.py``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from sparsedevice.evaluation import evaluate_run
from sparsedevice.packing import quantize
from sparsedevice.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import codes

LEVELS = (7, 5, 3, 2, 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--users", choices=("trained", "folded"), default="folded")
    arguments = parser.parse_args()
    print("| run | largest value | entries left | bytes an item | Recall@20 |\n|---|---|---|---|---|")
    for folder in arguments.runs:
        run = Run.load(folder)
        for most in LEVELS:
            quantize._LIMIT["int4"] = most  # the package has no such option, because of what this shows
            coded = codes.sparse(run.items, run.similarity, "int4")
            found = evaluate_run(replace(run, items=coded.items), users=arguments.users)["recall@20"]
            left = coded.items.nnz / coded.items.shape[0]
            name = Path(folder).name
            print(f"| {name} | {most} | {left:.1f} | {coded.row_bytes:.1f} | {found:.4f} |", flush=True)


if __name__ == "__main__":
    main()
