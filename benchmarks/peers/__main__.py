"""This project beside what an engineer would pick instead, each peer in an environment with pinned packages.

    python -m benchmarks.peers BUNDLE [--k 20] [--rounds 20] [--runs 3] [--only NAME,NAME:VARIANT]   top-k
    python -m benchmarks.peers BUNDLE --train DATA                                    top-k and training
    python -m benchmarks.peers --train DATA [--share 0.25] [--seconds 600]            training
    python -m benchmarks.peers --train DATA --seed 0,1,2                              mean and spread
    … --json FILE --report FILE.html

Top-k: every arm is a process of its own on one thread. In each round every arm
is asked a block of queries, in an order drawn anew, and the core one before and one after it. Times are of
processor time, query by query; a query in the middle of which, or of the one before, the kernel gave the
processor to another program does not count. A round gives each arm one ratio: the fastest tenth of its block
over the median of the core's two blocks beside it; the table shows the median of the rounds with a 95 %
bootstrap interval. The first queries of a block are untimed, as another arm has used the caches. Rounds go
on until the intervals are narrow. The peers get the table's rows as dense float32 (they have no sparse form)
and ready query vectors; the core starts from ids and folds in. --runs measures several times, each with
processes of its own, whose rounds take turns.

Training: every learner gets the same train part, and the same threads, one learner after the other.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers import inference, training
from sparsedevice.bench.environment import read_environment
from sparsedevice.report import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--train", metavar="DATA", help="also train the learners on this data")
    parser.add_argument("--only", help="names of scripts in arms/ and learners/, separated by commas")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=1, help="measurements of top-k, their rounds in turns")
    parser.add_argument("--work", type=Path, help="folder for the arms' files, to keep for the next time")
    parser.add_argument("--most-rounds", type=int, default=30)
    parser.add_argument("--share", type=float, default=1.0, help="of each learner's usual epochs")
    parser.add_argument(
        "--seconds", type=float, default=1800.0, help="of processor time, at most, for each learner"
    )
    parser.add_argument("--threads", type=int, default=2, help="for training")
    parser.add_argument(
        "--seed", default="0", help="for training; several, separated by commas, give their spread"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, help="page to write; needs the extra 'report'")
    asked = parser.parse_args()
    if asked.bundle is None and asked.train is None:
        parser.error("give a bundle, or data to --train on")
    if asked.report is not None and asked.json is None:
        asked.json = asked.report.with_suffix(".json")
    only = asked.only.split(",") if asked.only else None
    found: dict[str, Any] = {"peers": 1}
    if asked.bundle is not None:
        with tempfile.TemporaryDirectory() as scratch:
            work = asked.work or Path(scratch)
            work.mkdir(parents=True, exist_ok=True)
            runs = inference.compare_inference(
                asked.bundle,
                k=asked.k,
                rounds=asked.rounds,
                most_rounds=asked.most_rounds,
                only=only,
                runs=asked.runs,
                work=work,
            )
        found["inference"] = runs[0]
        print(inference.markdown(runs[0]) + "\n")
        if len(runs) > 1:
            found["runs"], found["spread"] = runs, inference.spread(runs)
            print(inference.spread_markdown(found["spread"]) + "\n")
    if asked.train is not None:
        trained = []
        for seed in asked.seed.split(","):
            trained.append(
                training.compare_training(
                    asked.train,
                    share=asked.share,
                    seconds=asked.seconds,
                    threads=asked.threads,
                    seed=int(seed),
                    only=only,
                )
            )
            print(training.markdown(trained[-1]) + "\n")
        found["training"] = trained[0]
        if len(trained) > 1:
            found["training_runs"], found["seeds"] = trained, training.over_seeds(trained)
            print(training.seeds_markdown(found["seeds"]) + "\n")
    environment = found["environment"] = read_environment(["numpy", "scipy", "torch"])
    print(
        f"{environment['cpu']}, {environment['cores']} cores, load {environment['load_average']},"
        f" {platform.platform()}"
    )
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")
    if asked.report is not None:
        print(report([asked.json], asked.report, title="Beside peers"))


if __name__ == "__main__":
    main()
