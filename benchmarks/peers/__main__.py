"""This project's core beside what an engineer would pick instead, on the same queries.

    python -m benchmarks.peers BUNDLE [--k 20] [--rounds 15] [--json FILE] [--only NAME,NAME]

Every arm is a process of its own, in its own environment with pinned packages, on one thread. In each round
every arm is asked the same block of queries, in an order drawn anew; a round gives one ratio of medians for
each arm, and the table shows the median ratio with a 95 % bootstrap interval. The peers get the table's rows
as dense float32 (they have no sparse form) and ready query vectors; the core starts from ids and folds in.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from benchmarks.peers.environments import python_for
from sparsedevice.bench.environment import read_environment
from sparsedevice.bench.trace import find_queries
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.reference import NumpyRecommender

ARMS = Path(__file__).parent / "arms"
OURS = "sparsedevice_core"
BLOCK, N_QUERIES = 20, 200


class ArmError(Exception):
    """An arm that cannot run here."""


class Arm:
    """A running arm."""

    def __init__(self, script: Path, variant: str, data: Path, k: int) -> None:
        self.name = (
            f"{script.stem.replace('_', ' ')} {variant}" if script.stem != OURS else "sparsedevice core"
        )
        module = read_arm(script)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [python_for(module.REQUIREMENTS), str(script), variant, str(data), str(k)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )
        self.about = self.read()
        self.medians: list[float] = []
        self.samples: list[int] = []
        self.requirements = module.REQUIREMENTS

    def read(self) -> dict[str, Any]:
        """The arm's next line.

        Raises:
            ArmError: if there is none.
        """
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        while True:
            line = self.process.stdout.readline()
            if not line:
                complaint = self.process.stderr.read().strip().splitlines()
                raise ArmError(f"{self.name} stopped: {complaint[-1] if complaint else 'no reason given'}")
            if line.startswith("{"):
                value: dict[str, Any] = json.loads(line)
                return value

    def ask(self, do: str, queries: list[int]) -> dict[str, Any]:
        """Time or answer queries."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "queries": queries}) + "\n")
        self.process.stdin.flush()
        return self.read()


def read_arm(script: Path) -> Any:
    """The module of an arm, without the packages that it needs."""
    sys.path.insert(0, str(ARMS))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", help="names of scripts in arms/, separated by commas")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else None
    scripts = [s for s in sorted(ARMS.glob("*.py")) if s.stem != "serve" and (not wanted or s.stem in wanted)]
    scripts = [ARMS / f"{OURS}.py", *(s for s in scripts if s.stem != OURS)]
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch)
        truth = write_data(arguments.bundle, data, arguments.k)
        arms: list[Arm] = []
        missing: list[str] = []
        for script in scripts:
            for variant in read_arm(script).VARIANTS:
                sys.stderr.write(f"loading {script.stem} {variant}\n")
                try:
                    arms.append(Arm(script, variant, data, arguments.k))
                except (ArmError, subprocess.CalledProcessError) as error:
                    if script.stem == OURS:
                        raise
                    missing.append(f"not run: {error}")
        measure(arms, arguments.rounds)
        table = [summarise(arm, arms[0], truth) for arm in arms]
        for arm in arms:
            arm.process.kill()
            arm.process.wait()
    environment = read_environment(["numpy", "scipy"])
    print("\n".join([markdown(table, arguments.k), *missing]))
    print(
        f"\n{environment['cpu']}, {environment['cores']} cores, load {environment['load_average']},"
        f" {platform.platform()}"
    )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"arms": table, "environment": environment}, indent=2) + "\n")


def write_data(bundle: Path, data: Path, k: int) -> list[list[int]]:
    """The files that arms read; returns the exact best rows of each query."""
    packed = PackedFile.open(bundle / "model.sd")
    (data / "model.sd").symlink_to((bundle / "model.sd").resolve())
    queries = find_queries("zipf", packed, 0)
    histories = queries.histories[:N_QUERIES]
    ids = packed.vocabulary.ids
    (data / "histories.json").write_text(json.dumps([[ids[row] for row in h.tolist()] for h in histories]))
    reference = NumpyRecommender(packed)
    vectors = [reference.fold_in(history.astype(np.int32)) for history in histories]
    np.save(
        data / "queries.npy", np.stack([v.vector * np.float32(v.scale) for v in vectors]).astype(np.float32)
    )
    # The dense form exists for the peers only; nothing of this project makes one.
    np.save(data / "items.npy", packed.items.toarray())
    truth = []
    for vector in vectors:
        scores = reference.scores(vector)
        truth.append(np.lexsort((np.arange(len(scores)), -scores))[:k].tolist())
    return truth


def measure(arms: list[Arm], rounds: int) -> None:
    """Ask every arm the same blocks, in an order drawn anew for each."""
    draw = random.Random(0)
    for number in range(-1, rounds):  # the first round warms up and is forgotten
        block = [(number * BLOCK + i) % N_QUERIES for i in range(BLOCK)]
        for arm in draw.sample(arms, len(arms)):
            samples = arm.ask("time", block)["ns"]
            if number >= 0:
                arm.medians.append(float(np.median(samples)))
                arm.samples += samples


def summarise(arm: Arm, ours: Arm, truth: list[list[int]]) -> dict[str, Any]:
    """Percentiles, the paired ratio with its interval, bytes, and how many of the exact best rows come."""
    ratios = np.array(arm.medians) / np.array(ours.medians)
    low = high = 1.0
    if arm is not ours:
        interval = bootstrap((ratios,), np.median, method="percentile", rng=np.random.default_rng(0))
        low, high = interval.confidence_interval
    got = arm.ask("answer", list(range(len(truth))))["rows"]
    overlap = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(got, truth, strict=True)])
    p50, p90 = np.percentile(np.array(arm.samples) / 1000, (50, 90))
    return {
        "arm": arm.name,
        "p50_us": float(p50),
        "p90_us": float(p90),
        "ratio": float(np.median(ratios)),
        "ratio_low": float(low),
        "ratio_high": float(high),
        "ratios": ratios.tolist(),
        "overlap": float(overlap),
        **arm.about,
        "requirements": arm.requirements,
    }


def markdown(table: list[dict[str, Any]], k: int) -> str:
    """The table, fastest first."""
    head = [
        "arm",
        "p50 µs",
        "p90 µs",
        "times the core's (95 %)",
        "bytes of vectors",
        "anonymous MiB",
        f"of the exact top {k}",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in sorted(table, key=lambda row: row["ratio"]):
        memory = "" if row["anonymous_bytes"] is None else f"{row['anonymous_bytes'] / 2**20:.1f}"
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f}-{row['ratio_high']:.2f})"
        cells = [row["arm"], f"{row['p50_us']:.1f}", f"{row['p90_us']:.1f}", ratio, f"{row['index_bytes']:,}"]
        lines.append("| " + " | ".join([*cells, memory, f"{row['overlap']:.3f}"]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
