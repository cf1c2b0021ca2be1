"""What int8 and int4 values cost: Recall@20 and NDCG@20 of a run on its test part, and agreement with f32.

    python benchmarks/runtime/quantisation.py RUN

Each user is asked for the 20 best items that training did not show, by the shipped user row and by folding in
the training history. "Overlap" is the mean share of the float32 file's 20 items that the others also give.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from sparsedevice.packing import pack
from sparsedevice.run import Run
from sparsedevice.runtime.core import CoreRecommender
from sparsedevice.runtime.recommender import Recommendations


def score(answers: list[Recommendations], relevant: list[set[str]]) -> tuple[float, float]:
    """Recall@20 and NDCG@20 over users with at least one test item; all of them count in recall."""
    gains = 1 / np.log2(np.arange(2, 22))
    recall, ndcg = [], []
    for answer, wanted in zip(answers, relevant, strict=True):
        hit = np.array([item in wanted for item in answer.items])
        recall.append(hit.sum() / len(wanted))
        ndcg.append((gains[: len(hit)] * hit).sum() / gains[: min(len(wanted), 20)].sum())
    return float(np.mean(recall)), float(np.mean(ndcg))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", type=int, default=5000, help="a fixed random choice of so many users")
    arguments = parser.parse_args()
    run = Run.load(arguments.run)
    train, test = run.split.train, run.split.test
    if test is None or run.users is None:
        raise SystemExit("this run has no test part or no users")
    item_ids, user_ids = list(train.item_ids.ids), list(train.user_ids.ids)
    seen = train.matrix()
    if run.split.validation is not None:
        seen = seen + run.split.validation.matrix()
    held_out = test.matrix()
    users = np.flatnonzero(np.diff(held_out.indptr))
    users = np.sort(np.random.default_rng(0).permutation(users)[: arguments.users])
    relevant = [{item_ids[i] for i in held_out.indices[slice(*held_out.indptr[u : u + 2])]} for u in users]
    histories = [[item_ids[i] for i in seen.indices[slice(*seen.indptr[u : u + 2])]] for u in users]
    first: dict[str, list[set[str]]] = {}
    print("| values | bytes | user rows: Recall@20 | NDCG@20 | overlap | folded in: Recall@20 | overlap |")
    print("|---|---|---|---|---|---|---|")
    for values in ("f32", "f16", "int8", "int4"):
        with tempfile.TemporaryDirectory() as folder:
            info = pack(
                f"{folder}/x.sd",
                run.items,
                item_ids=item_ids,
                users=run.users,
                user_ids=user_ids,
                seen=seen,
                values=values,  # type: ignore[arg-type]
                similarity=run.similarity,  # type: ignore[arg-type]
                fold_in=run.fold_in,
            )
            core = CoreRecommender.open(f"{folder}/x.sd")
            cells = []
            for name in ("users", "folded"):
                if name == "users":
                    answers = core.recommend_batch(users=[user_ids[u] for u in users], k=20)
                else:
                    answers = core.recommend_batch(histories=histories, k=20)
                found = [set(answer.items) for answer in answers]
                exact = first.setdefault(name, found)
                overlap = np.mean([len(a & b) / 20 for a, b in zip(exact, found, strict=True)])
                recall, ndcg = score(answers, relevant)
                cells += [f"{recall:.4f}", f"{ndcg:.4f}", f"{overlap:.3f}"]
        size = sum(
            n
            for kind, n in info.section_bytes.items()
            if kind.startswith(("item_", "user_")) and "_id_" not in kind
        )
        print(f"| {values} | {size:,} | {' | '.join(cells[:3])} | {cells[3]} | {cells[5]} |", flush=True)


if __name__ == "__main__":
    main()
