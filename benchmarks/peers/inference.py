"""Top-k beside what an engineer would pick instead, on the same queries, in interleaved rounds."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from benchmarks.peers.process import Peer, PeerError, scripts_in
from sparsedevice.bench.trace import find_queries
from sparsedevice.packing import PackedFile
from sparsedevice.runtime.reference import NumpyRecommender

ARMS = Path(__file__).parent / "arms"
OURS = "sparsedevice_core"
N_QUERIES = 200
#: A block of an arm takes about this long, and has so many queries at least.
BLOCK_NS, LEAST_QUERIES = 50_000_000, 5
#: What stands for a peer's block: a query that met little of the other programs' memory traffic. An arm that
#: streams megabytes a query pays in processor time for what they leave of the bandwidth, which changes from
#: minute to minute. The core's block is its median, as its queries differ in length: that favours the peer.
QUIET = 0.1
#: Each ratio: of which clock, and which quantile of the peer's block.
PAIRS = {"cpu": ("cpu", QUIET), "median": ("cpu", 0.5), "wall": ("wall", 0.5)}
#: Of a block's queries so many at least must have been left alone, else all of them count.
LEAST_ALONE = 3
#: Rounds go on until every interval is this narrow, as a share of its ratio, or there were enough.
NARROW = 0.05


class Arm:
    """A peer and what was measured of it.

    Attributes:
        ratios: for each round, this arm's time over the core's before and after it: ``cpu`` of processor
            times, the block's :data:`QUIET` quantile over the core's median; ``median``, the same of both
            medians; ``wall``, of the medians of wall times.
        cpu_us: for each round, the median processor time of the block's queries.
        wall_ns: time of every query.
        alone: queries that were left alone, of all.
    """

    def __init__(self, script: Path, variant: str, data: Path, k: int) -> None:
        arguments = (str(data), str(k))
        built = Peer(script, variant, *arguments, "build")
        try:
            built.read()
        finally:
            built.close()
        self.peer = Peer(script, variant, *arguments)
        self.about = self.peer.read()
        self._next, self._n = 0, LEAST_QUERIES
        self.ratios: dict[str, list[float]] = {"cpu": [], "median": [], "wall": []}
        self.cpu_us: list[float] = []
        self.wall_ns: list[int] = []
        self.alone = [0, 0]

    def block(self) -> dict[str, NDArray[np.float64]]:
        """Ask the next block of queries: nanoseconds of those that count, ``cpu`` and ``wall``."""
        queries = [(self._next + i) % N_QUERIES for i in range(self._n)]
        self._next += self._n
        found = self.peer.ask({"do": "time", "queries": queries})
        cpu = np.array(found["cpu_ns"]) - self.about["clock_ns"]
        alone = np.array(found["alone"])
        self.alone[0] += int(alone.sum())
        self.alone[1] += len(alone)
        self.wall_ns += found["wall_ns"]
        chosen = alone if alone.sum() >= LEAST_ALONE else np.ones(len(alone), bool)
        return {"cpu": cpu[chosen], "wall": np.array(found["wall_ns"], np.float64)}

    def fit(self) -> None:
        """Choose how many queries make a block, and forget what was measured so far."""
        took = float(np.median(self.block()["cpu"]))
        self._n = int(np.clip(BLOCK_NS / took, LEAST_QUERIES, N_QUERIES))
        self.wall_ns, self.alone = [], [0, 0]


def compare_inference(
    bundle: Path,
    *,
    k: int,
    rounds: int,
    most_rounds: int,
    only: list[str] | None,
    runs: int = 1,
    work: Path | None = None,
) -> list[dict[str, Any]]:
    """Measure every arm that can run here.

    Args:
        bundle: with the model.
        k: length of a ranking.
        rounds: least number of rounds in a run.
        most_rounds: rounds at most, where intervals are still wide.
        only: names of scripts, or ``script:variant``; None for all.
        runs: how often, each with processes of its own; their rounds take turns.
        work: an existing folder for the arms' files, kept for the next run of the same bundle.

    Returns:
        JSON-ready, one a run: ``k``, ``rounds``, ``arms`` and ``not_run``.
    """
    sets: list[list[Arm]] = [[] for _ in range(runs)]
    missing: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        data = work or Path(scratch)
        truth = write_data(bundle, data, k)
        try:
            for script, variant in scripts_in(ARMS, OURS, only):
                sys.stderr.write(f"loading {script.stem} {variant}\n")
                try:
                    for arms in sets:
                        arms.append(Arm(script, variant, data, k))
                except PeerError as error:
                    if script.stem == OURS:
                        raise
                    missing.append(str(error))
            done = measure(sets, rounds, most_rounds)
            tables = [[summarise(arm, truth) for arm in arms] for arms in sets]
        finally:
            for arm in itertools.chain(*sets):
                arm.peer.close()
    return [{"k": k, "rounds": done, "arms": table, "not_run": missing} for table in tables]


def write_data(bundle: Path, data: Path, k: int) -> list[list[int]]:
    """The files that arms read; returns the exact best rows of each query."""
    packed = PackedFile.open(bundle / "model.sd")
    model = (bundle / "model.sd").resolve()
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    made_of = data / "made-of.txt"
    if made_of.is_file() and made_of.read_text() != f"{digest} {k}":
        raise SystemExit(f"{data} holds files of another model or k; name another folder, or empty this one")
    made_of.write_text(f"{digest} {k}")
    (data / "model.sd").unlink(missing_ok=True)
    (data / "model.sd").symlink_to(model)
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


def measure(sets: list[list[Arm]], rounds: int, most_rounds: int) -> int:
    """Ask every arm in turn, the core before and after each; returns the number of rounds of a run.

    A block of the core is a neighbour of two other arms. What slows the machine down for longer than a few
    blocks meets both sides of a pair, and a pair that it meets on one side only is one of many rounds. What
    other programs leave of the memory's bandwidth changes over minutes and meets only arms that read
    megabytes: rounds of the runs take turns, so that it meets all runs alike.

    Args:
        sets: the arms of each run, the core first.
        rounds: least number.
        most_rounds: number at most.
    """
    for arm in itertools.chain(*sets):
        arm.fit()
    draw = random.Random(0)
    done = 0
    while done < most_rounds:
        for arms in sets:
            ask_round(arms, draw)
        done += 1
        if done % 5 == 0:
            wide = {arm.peer.name for _, *others in sets for arm in others if not is_narrow(arm)}
            sys.stderr.write(f"round {done}; not yet narrow: {', '.join(sorted(wide)) or 'none'}\n")
            if done >= rounds and not wide:
                break
    return done


def ask_round(arms: list[Arm], draw: random.Random) -> None:
    """A block of every arm, in an order drawn anew, and of the core before and after it."""
    ours, *others = arms
    before = ours.block()
    own = [before]
    for arm in draw.sample(others, len(others)):
        theirs, after = arm.block(), ours.block()
        own.append(after)
        for name, (clock, quantile) in PAIRS.items():
            near = np.median(np.concatenate((before[clock], after[clock])))
            arm.ratios[name].append(float(np.quantile(theirs[clock], quantile) / near))
        arm.cpu_us.append(float(np.median(theirs["cpu"])) / 1000)
        before = after
    ours.cpu_us.append(float(np.median(np.concatenate([block["cpu"] for block in own]))) / 1000)


def is_narrow(arm: Arm) -> bool:
    """Whether the ratio of processor times is known well."""
    ratio, low, high = interval(arm.ratios["cpu"])
    return high - low < NARROW * ratio


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Median of the paired ratios and its 95 % bootstrap interval."""
    found = bootstrap(
        (ratios,), np.median, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    )
    low, high = found.confidence_interval
    return float(np.median(ratios)), float(low), float(high)


def summarise(arm: Arm, truth: list[list[int]]) -> dict[str, Any]:
    """Percentiles, paired ratios, bytes, and how many of the exact best rows come."""
    out: dict[str, Any] = {"arm": arm.peer.name}
    out["p50_us"], out["p90_us"] = (float(p) / 1000 for p in np.percentile(arm.wall_ns, (50, 90)))
    out["cpu_us"] = float(np.median(arm.cpu_us))
    for name, ratios in arm.ratios.items():
        out[f"{name}_ratio"] = interval(ratios) if ratios else (1.0, 1.0, 1.0)
    out["left_alone"] = arm.alone[0] / arm.alone[1]
    got = arm.peer.ask({"do": "answer", "queries": list(range(len(truth)))})["rows"]
    out["overlap"] = float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(got, truth, strict=True)]))
    return {**out, **arm.about, "rounds": arm.ratios, "requirements": arm.peer.requirements}


def spread(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each arm's ratio of processor times in every run, and greatest over least less 1.

    Args:
        runs: what :func:`compare_inference` returned, one a run.
    """
    found = []
    for name in (row["arm"] for row in runs[0]["arms"]):
        ratios = [row["cpu_ratio"][0] for run in runs for row in run["arms"] if row["arm"] == name]
        if len(ratios) == len(runs):
            found.append({"arm": name, "ratios": ratios, "spread": max(ratios) / min(ratios) - 1})
    return found


def markdown(found: dict[str, Any]) -> str:
    """The table, fastest first."""
    head = [
        "arm",
        "p50 µs",
        "CPU µs",
        "times the core's, CPU (95 %)",
        "of medians",
        "wall",
        "left alone",
        "bytes of vectors",
        "anonymous MiB",
        f"of the exact top {found['k']}",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in sorted(found["arms"], key=lambda row: row["cpu_ratio"][0]):
        memory = "" if row["anonymous_bytes"] is None else f"{row['anonymous_bytes'] / 2**20:.1f}"
        cells = [row["arm"], f"{row['p50_us']:,.1f}", f"{row['cpu_us']:,.1f}"]
        cells.append("{:.2f} ({:.2f}-{:.2f})".format(*row["cpu_ratio"]))
        cells += [f"{row[f'{name}_ratio'][0]:.2f}" for name in ("median", "wall")]
        cells.append(f"{row['left_alone']:.0%}")
        cells += [f"{row['index_bytes']:,}", memory, f"{row['overlap']:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    missing = [f"not run: {sentence}" for sentence in found["not_run"]]
    return "\n".join([*lines, *missing, f"\n{found['rounds']} rounds, one thread"])


def spread_markdown(rows: list[dict[str, Any]]) -> str:
    """The runs beside each other."""
    n = len(rows[0]["ratios"])
    lines = ["| arm | " + " | ".join(f"run {i + 1}" for i in range(n)) + " | greatest over least |"]
    lines.append("|---" + "|---:" * (n + 1) + "|")
    for row in sorted(rows, key=lambda row: row["ratios"][0]):
        cells = [f"{ratio:.2f}" for ratio in row["ratios"]] + [f"+{row['spread']:.1%}"]
        lines.append(f"| {row['arm']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
