"""Training beside other libraries: examples a second, time to most of the best recall, and that recall."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from benchmarks.peers.process import Peer, PeerError, scripts_in
from sparsedevice.data import DataOptions, Split, load_split
from sparsedevice.evaluation.evaluate import report, split_parts
from sparsedevice.evaluation.ranking import rank, table_queries

LEARNERS = Path(__file__).parent / "learners"
OURS = "sparsedevice_mf"
K = 20
VALIDATION_USERS = 3000
#: Share of its own best validation recall at which a learner counts as there.
MOST = 0.95


def compare_training(
    data: str, *, share: float, seconds: float, threads: int, seed: int, only: list[str] | None
) -> dict[str, Any]:
    """Train every learner that can run here, one after the other, on the same train part.

    Looks at validation stop the learner's clock. Test is looked at once, with the tables of the best look.

    Args:
        data: what :func:`sparsedevice.data.load_split` reads; a test part is needed.
        share: of each learner's usual number of epochs.
        seconds: of processor time, all threads together, after which a learner is stopped at its next look.
        threads: for each.
        seed: of the split and the learners.
        only: names of scripts; None for all.

    Returns:
        JSON-ready: ``data``, ``k``, the settings, ``learners`` and ``not_run``.
    """
    split = load_split(data, DataOptions(seed=seed))
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    for script, variant in scripts_in(LEARNERS, OURS, only, keep_first=False):
        sys.stderr.write(f"training {script.stem} {variant}\n")
        try:
            found.append(_train(script, variant, split, share, seconds, threads, seed))
            # For who waits, and for who has to stop it.
            shown = {key: value for key, value in found[-1].items() if key != "looks"}
            sys.stderr.write(f"{json.dumps(shown)}\n")
        except PeerError as error:
            if script.stem == OURS:
                raise
            missing.append(str(error))
    settings = {"share": share, "seconds": seconds, "threads": threads, "seed": seed}
    counts = {"n_users": split.train.n_users, "n_items": split.train.n_items, "n_train": len(split.train)}
    name = Path(data).name
    return {"data": name, "k": K, **settings, **counts, "learners": found, "not_run": missing}


def _train(
    script: Path, variant: str, split: Split, share: float, seconds: float, threads: int, seed: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scipy.sparse.save_npz(folder / "train.npz", split.train.matrix())
        peer = Peer(script, variant, scratch, str(share), str(threads), str(seed), threads=threads)
        looks: list[dict[str, Any]] = []
        best: tuple[scipy.sparse.csr_array, scipy.sparse.csr_array] | None = None
        try:
            while "done" not in (said := peer.read()):
                users, items = (
                    scipy.sparse.csr_array(scipy.sparse.load_npz(folder / f"{name}.npz"))
                    for name in ("users", "items")
                )
                looks.append({**said, "recall": _recall(users, items, split, "validation", seed)})
                if looks[-1]["recall"] >= max(look["recall"] for look in looks):
                    best = users, items
                peer.write("stop" if said["cpu_seconds"] > seconds else "go")
            assert best is not None
            test = _recall(*best, split, "test", seed)
        finally:
            peer.close()
    last, kept = looks[-1], max(looks, key=lambda look: (look["recall"], look["epoch"]))
    return {
        "learner": peer.name,
        "requirements": peer.requirements,
        "epochs": last["epoch"],
        "best_epoch": kept["epoch"],
        "seconds": last["seconds"],
        "cpu_seconds": last["cpu_seconds"],
        "stopped": last["cpu_seconds"] > seconds,
        "examples_per_second": last["examples"] / last["seconds"],
        "examples_per_cpu_second": last["examples"] / last["cpu_seconds"],
        "seconds_to_most": seconds_to_most(looks),
        "cpu_seconds_to_most": seconds_to_most(looks, "cpu_seconds"),
        "item_entries": kept["item_entries"],
        "peak_growth_bytes": said["peak_growth_bytes"],
        "validation": kept["recall"],
        "test": test,
        "looks": looks,
    }


def _recall(
    users: scipy.sparse.csr_array, items: scipy.sparse.csr_array, split: Split, part: str, seed: int
) -> float:
    """Recall@20 by this project's evaluator: all items ranked, those seen before left out."""
    relevant, seen, rows = split_parts(split, part)
    if part == "validation":
        rows = _some(rows, seed)
    top = rank(table_queries(users), items, rows, K, seen=seen)
    return float(report(top, relevant, rows, "trained")[f"recall@{K}"])


def _some(rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng([seed, 4]).permutation(rows)[:VALIDATION_USERS])


def seconds_to_most(looks: list[dict[str, Any]], clock: str = "seconds") -> float:
    """Seconds until 95 % of the best look's recall, between two looks by a straight line.

    Args:
        looks: in order.
        clock: ``seconds`` or ``cpu_seconds``.
    """
    wanted = MOST * max(look["recall"] for look in looks)
    before = {clock: 0.0, "recall": 0.0}
    for look in looks:
        if look["recall"] >= wanted:
            part = (wanted - before["recall"]) / (look["recall"] - before["recall"])
            return float(before[clock] + part * (look[clock] - before[clock]))
        before = look
    return float(looks[-1][clock])


def markdown(found: dict[str, Any]) -> str:
    """The table, best test recall first."""
    head = [
        "learner",
        "epochs",
        "best",
        "seconds",
        "CPU s",
        "examples/s",
        "examples/CPU s",
        f"s to {MOST:.0%}",
    ]
    head += [f"CPU s to {MOST:.0%}", "peak MiB"]
    head += ["entries of the item table", f"validation Recall@{K}", f"test Recall@{K}"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in sorted(found["learners"], key=lambda row: -row["test"]):
        peak = row["peak_growth_bytes"]
        cells = [row["learner"], f"{row['epochs']}{' (stopped)' if row['stopped'] else ''}"]
        cells += [
            str(row["best_epoch"]),
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            f"{row['examples_per_second']:,.0f}",
        ]
        cells += [f"{row['examples_per_cpu_second']:,.0f}"]
        cells += [f"{row['seconds_to_most']:.1f}", f"{row['cpu_seconds_to_most']:.1f}"]
        cells += ["" if peak is None else f"{peak / 2**20:.0f}"]
        cells += [f"{row['item_entries']:,}", f"{row['validation']:.4f}", f"{row['test']:.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"not run: {sentence}" for sentence in found["not_run"]]
    about = (
        f"{found['data']}: {found['n_users']:,} users, {found['n_items']:,} items, {found['n_train']:,} train"
    )
    about += f" interactions; {found['threads']} threads, seed {found['seed']}"
    if found["share"] != 1:
        about += f"; {found['share']:g} of each learner's usual epochs"
    return "\n".join([*lines, f"\n{about}; at most {found['seconds']:g} s of processor time each"])


#: What is shown over several seeds.
SPREAD = ("cpu_seconds", "examples_per_cpu_second", "cpu_seconds_to_most", "validation", "test")


def over_seeds(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each learner that ran with every seed: mean, least and greatest of what :data:`SPREAD` names.

    Args:
        runs: what :func:`compare_training` returned, one a seed.
    """
    found = []
    for name in (row["learner"] for row in runs[0]["learners"]):
        rows = [row for run in runs for row in run["learners"] if row["learner"] == name]
        if len(rows) == len(runs):
            values = {key: [row[key] for row in rows] for key in SPREAD}
            found.append(
                {"learner": name, "seeds": [run["seed"] for run in runs]}
                | {key: (float(np.mean(v)), min(v), max(v)) for key, v in values.items()}
            )
    return found


def seeds_markdown(rows: list[dict[str, Any]]) -> str:
    """Mean and, in brackets, least and greatest over the seeds."""
    head = ["learner", "CPU s", "examples/CPU s", f"CPU s to {MOST:.0%}"]
    head += [f"validation Recall@{K}", f"test Recall@{K}"]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in sorted(rows, key=lambda row: -row["test"][0]):
        forms = (",.1f", ",.0f", ",.1f", ".4f", ".4f")
        cells = [
            f"{row[key][0]:{form}} ({row[key][1]:{form}}-{row[key][2]:{form}})"
            for key, form in zip(SPREAD, forms, strict=True)
        ]
        lines.append("| " + " | ".join([row["learner"], *cells]) + " |")
    return "\n".join([*lines, f"\nseeds {', '.join(map(str, rows[0]['seeds']))}" if rows else ""])
