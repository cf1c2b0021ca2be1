"""Top-k beside what an engineer would pick instead, on the same queries, in interleaved rounds."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks.peers.process import Peer, PeerError, read_script, scripts_in
from sparsedevice.bench.trace import find_queries
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.reference import NumpyRecommender

ARMS = Path(__file__).parent / "arms"
OURS = "sparsedevice_core"
BLOCK, N_QUERIES = 20, 200
#: Rounds go on until every interval is this narrow, as a share of its ratio, or there were enough.
NARROW = 0.1


class Arm:
    """A peer and what was measured of it, one figure a round.

    Attributes:
        wall_us: median time of the block's queries.
        cpu_us: processor time of the block, a query.
        samples_ns: time of every query.
    """

    def __init__(self, script: Path, variant: str, data: Path, k: int) -> None:
        self.peer = Peer(script, variant, str(data), str(k))
        self.about = self.peer.read()
        self.wall_us: list[float] = []
        self.cpu_us: list[float] = []
        self.samples_ns: list[int] = []

    def round(self, queries: list[int], *, keep: bool) -> None:
        """Ask a block of queries."""
        found = self.peer.ask({"do": "time", "queries": queries})
        if keep:
            self.wall_us.append(float(np.median(found["ns"])) / 1000)
            self.cpu_us.append(found["cpu_ns"] / len(queries) / 1000)
            self.samples_ns += found["ns"]


def compare_inference(
    bundle: Path, *, k: int, rounds: int, most_rounds: int, only: list[str] | None
) -> dict[str, Any]:
    """Measure every arm that can run here.

    Args:
        bundle: with the model.
        k: length of a ranking.
        rounds: least number of rounds.
        most_rounds: rounds at most, where intervals are still wide.
        only: names of scripts; None for all.

    Returns:
        JSON-ready: ``k``, ``rounds``, ``arms`` and ``not_run``.
    """
    arms: list[Arm] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        truth = write_data(bundle, Path(scratch), k)
        try:
            for script in scripts_in(ARMS, OURS, only):
                for variant in read_script(script).VARIANTS:
                    sys.stderr.write(f"loading {script.stem} {variant}\n")
                    try:
                        arms.append(Arm(script, variant, Path(scratch), k))
                    except PeerError as error:
                        if script.stem == OURS:
                            raise
                        missing.append(str(error))
            done = measure(arms, rounds, most_rounds)
            table = [summarise(arm, arms[0], truth) for arm in arms]
        finally:
            for arm in arms:
                arm.peer.close()
    return {"k": k, "rounds": done, "arms": table, "not_run": missing}


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


def measure(arms: list[Arm], rounds: int, most_rounds: int) -> int:
    """Ask every arm the same blocks, in an order drawn anew for each; returns the number of rounds."""
    draw = random.Random(0)
    for number in range(-1, most_rounds):  # the first round warms up and is forgotten
        block = [(number * BLOCK + i) % N_QUERIES for i in range(BLOCK)]
        for arm in draw.sample(arms, len(arms)):
            arm.round(block, keep=number >= 0)
        done = number + 1
        if done >= rounds and done % 5 == 0 and all(is_narrow(arm, arms[0]) for arm in arms[1:]):
            break
    return done


def is_narrow(arm: Arm, ours: Arm) -> bool:
    """Whether the ratio of processor times is known well."""
    ratio, low, high = interval(arm.cpu_us, ours.cpu_us)
    return high - low < NARROW * ratio


def interval(theirs: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios and its 95 % bootstrap interval."""
    ratios: NDArray[np.float64] = np.array(theirs) / np.array(ours)
    found = bootstrap(
        (ratios,), np.median, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    )
    low, high = found.confidence_interval
    return float(np.median(ratios)), float(low), float(high)


def summarise(arm: Arm, ours: Arm, truth: list[list[int]]) -> dict[str, Any]:
    """Percentiles, paired ratios, bytes, and how many of the exact best rows come."""
    out: dict[str, Any] = {"arm": arm.peer.name}
    out["p50_us"], out["p90_us"] = (float(p) / 1000 for p in np.percentile(arm.samples_ns, (50, 90)))
    out["cpu_us"] = float(np.median(arm.cpu_us))
    for name in ("wall", "cpu"):
        mine, theirs = (getattr(side, f"{name}_us") for side in (arm, ours))
        out[f"{name}_ratio"] = (1.0, 1.0, 1.0) if arm is ours else interval(mine, theirs)
    got = arm.peer.ask({"do": "answer", "queries": list(range(len(truth)))})["rows"]
    out["overlap"] = float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(got, truth, strict=True)]))
    return {**out, **arm.about, "requirements": arm.peer.requirements}


def markdown(found: dict[str, Any]) -> str:
    """The table, fastest first."""
    head = [
        "arm",
        "p50 µs",
        "CPU µs",
        "times the core's, CPU (95 %)",
        "wall (95 %)",
        "bytes of vectors",
        "anonymous MiB",
        f"of the exact top {found['k']}",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in sorted(found["arms"], key=lambda row: row["cpu_ratio"][0]):
        memory = "" if row["anonymous_bytes"] is None else f"{row['anonymous_bytes'] / 2**20:.1f}"
        ratios = ["{:.2f} ({:.2f}-{:.2f})".format(*row[f"{name}_ratio"]) for name in ("cpu", "wall")]
        cells = [row["arm"], f"{row['p50_us']:,.1f}", f"{row['cpu_us']:,.1f}", *ratios]
        cells += [f"{row['index_bytes']:,}", memory, f"{row['overlap']:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    missing = [f"not run: {sentence}" for sentence in found["not_run"]]
    return "\n".join([*lines, *missing, f"\n{found['rounds']} rounds of {BLOCK} queries, one thread"])
