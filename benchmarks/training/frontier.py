"""Recall against bytes: sparse tables beside small dense ones and codes of a large one, users folded in.

    python benchmarks/training/frontier.py DATA WORK [--seeds 0,1,2] [--families ours,dense,codes,dsl]
        [--grid 64:4,128:8,128:12] [--widths 16,32,64] [--only "int|OPQ"] [--threads 1]
        [--settings '{"epochs": 40}'] [--validation 0]
    python benchmarks/training/frontier.py --table WORK

Every model is trained by this package with the same loss; run folders are kept in WORK, and what is there is
not done again. One line of ``WORK/frontier.jsonl`` is one table in one coding: bytes of a row, bytes of what
all rows share (fold-in matrix, codebooks), recall@20 on validation and test with every user folded in from
her history, and with the trained user rows in float32. With ``--validation 0`` models are trained on all of
train, for settings that were chosen before, and the fold-in rule is the one that ``train`` takes unmeasured.

Families: "ours" (the default method), "items" (the same, users dense in training), "elsa", "pooled" (models
without user rows), any name of a method, "dense" (tables as wide as the bytes allow; "dense-elsa" the item
autoencoder's) and "codes" (quantised, projected and product-quantised forms of one dense table of ``--base``
columns; "codes-elsa").
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import codes

from sparsedevice.data import DataOptions, load_split
from sparsedevice.evaluation import evaluate_run
from sparsedevice.run import Run
from sparsedevice.training import train
from sparsedevice.training.fold_in import choose_fold_in

WIDTHS = (4, 8, 12, 16, 24, 32, 48, 64)
Arm = tuple[str, Callable[[], codes.Coded]]


def run_of(arguments: argparse.Namespace, name: str, seed: int, **settings: Any) -> Run:
    """The run folder of these settings, trained where it is not there yet."""
    out = arguments.work / f"{name}-seed{seed}"
    if not (out / "metrics.json").exists():
        fixed = {
            key: settings.pop(key)
            for key in ("model", "method", "sparsity", "dim", "epochs")
            if key in settings
        }
        settings = {"validation_every": 0, **settings}
        train(
            arguments.data,
            out,
            seed=seed,
            threads=arguments.threads,
            options=DataOptions(seed=0, validation_fraction=arguments.validation),
            settings=settings,
            progress=False,
            **fixed,
        )
    return Run.load(out)


def sparse_arms(run: Run, name: str) -> Iterator[Arm]:
    """A sparse table at both widths of values."""
    for values in ("int8", "int4"):
        yield f"{name} {values}", lambda v=values: codes.sparse(run.items, run.similarity, v)


def dense_arms(run: Run, name: str) -> Iterator[Arm]:
    """A dense table as it is, and at fewer bits."""
    yield f"{name} float32", lambda: codes.dense_float(run.items)
    for values in ("int8", "int4"):
        yield f"{name} {values}", lambda v=values: codes.dense_integers(run.items, run.similarity, v)
    if run.items.shape[1] >= 32:
        yield f"{name} 1-bit", lambda: codes.signs(run.items)


def code_arms(run: Run, prefix: str, seed: int) -> Iterator[Arm]:
    """What can be made of one good dense table."""
    width = run.items.shape[1]
    yield from dense_arms(run, f"{prefix}dense {width}")
    for axes in (w for w in WIDTHS if w <= width):
        yield f"{prefix}PCA {axes} of {width}", lambda w=axes: codes.principal(run.items, w)
    for parts in (w for w in WIDTHS if width % w == 0):
        for rotate in (False, True):
            yield (
                f"{prefix}{'OPQ' if rotate else 'PQ'} {parts} of {width}",
                lambda p=parts, r=rotate: codes.product(run.items, p, rotate=r, seed=seed),
            )


def measure(run: Run, arm: Arm, family: str, seed: int) -> dict[str, Any]:
    """One line: the coded table with the fold-in rule that validation chooses for it."""
    coded = arm[1]()
    split = run.split
    held = None if split.validation is None else split.validation.matrix()
    fold_in, chosen = choose_fold_in(
        coded.items,
        run.users,
        run.similarity,
        split.train.matrix(),
        held,
        0,
        temperature=run.config.temperature,
        pull=run.config.temperature2 or 1.0,
        wanted=run.config.fold_in,
    )
    run = replace(run, items=coded.items, fold_in=fold_in)
    folded = evaluate_run(run, users="folded")
    row = {
        "family": family,
        "name": arm[0],
        "seed": seed,
        "row_bytes": coded.row_bytes,
        "shared_bytes": coded.shared_bytes + (0 if fold_in.matrix is None else fold_in.matrix.nbytes),
        "scan_bytes": coded.scan_bytes,
        "rule": chosen["rule"],
        "test_folded": folded["recall@20"],
        "ndcg_folded": folded["ndcg@20"],
    }
    if held is not None:
        row["validation"] = chosen["validation_recall@20"][chosen["rule"]]
    if run.users is not None:
        row["test_trained"] = evaluate_run(run, users="trained")["recall@20"]
    return row


def arms_of(
    family: str, arguments: argparse.Namespace, settings: dict[str, Any], seed: int
) -> Iterator[tuple[Run, Arm]]:
    """All arms of a family, trained as they are needed."""

    def get(name: str, **own: Any) -> Run:
        return run_of(arguments, name, seed, **{**settings, **own})

    form, _, model = family.partition("-")
    if form in ("dense", "codes"):
        dense = {"sparsity": 0.0, "model": model or "mf"}
        prefix = f"{model} " if model else ""
        name = f"dense-{model}" if model else "dense"
        if form == "dense":
            for width in map(int, arguments.widths.split(",")):
                run = get(f"{name}-{width}", dim=width, **dense)
                yield from ((run, arm) for arm in dense_arms(run, f"{prefix}dense {width}"))
        else:
            run = get(f"{name}-{arguments.base}", dim=arguments.base, **dense)
            yield from ((run, arm) for arm in code_arms(run, prefix, seed))
        return
    special = {
        "ours": {},
        "items": {"sparse": "items"},
        "elsa": {"model": "elsa"},
        "pooled": {"model": "pooled"},
    }
    for dim, fan_in in (map(int, cell.split(":")) for cell in arguments.grid.split(",")):
        # Half an entry more, so that rounding down gives the fan-in.
        sparsity = 1 - (fan_in + 0.5) / dim
        own = special.get(family, {"method": family})
        run = get(f"{family}-{dim}-{fan_in}", sparsity=sparsity, dim=dim, **own)
        yield from ((run, arm) for arm in sparse_arms(run, f"{family} {fan_in} of {dim}"))


def table(work: Path) -> None:
    """Print means and spreads over seeds as Markdown, by family and bytes."""
    rows = [json.loads(line) for line in (work / "frontier.jsonl").read_text().splitlines()]
    print("| arm | bytes a row | shared bytes | seeds | validation | test, folded | test, trained |")
    print("|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["family"], row["name"]), []).append(row)

    def cell(group: list[dict[str, Any]], key: str) -> str:
        values = [row[key] for row in group if key in row]
        if not values:
            return ""
        return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")

    for (_, name), group in sorted(groups.items(), key=lambda pair: mean(r["row_bytes"] for r in pair[1])):
        weight, shared = (mean(row[key] for row in group) for key in ("row_bytes", "shared_bytes"))
        cells = " | ".join(cell(group, key) for key in ("validation", "test_folded", "test_trained"))
        print(f"| {name} | {weight:.1f} | {shared:,.0f} | {len(group)} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--table", action="store_true", help="print the table of the folder DATA")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--families", default="ours,dense,codes")
    parser.add_argument("--grid", default="64:4,128:8,128:12,256:16,256:25")
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)), help="of the family dense")
    parser.add_argument("--only", type=re.compile, default="", help="measure arms whose name matches alone")
    parser.add_argument(
        "--base", type=int, default=64, help="width of the dense table that codes are made of"
    )
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of train for every model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validation", type=float, default=0.1, help="share of train that is held out")
    arguments = parser.parse_args()
    if arguments.table:
        return table(Path(arguments.data))
    arguments.work.mkdir(parents=True, exist_ok=True)
    log = arguments.work / "frontier.jsonl"
    done = (
        {(r["name"], r["seed"]) for r in map(json.loads, log.read_text().splitlines())}
        if log.exists()
        else set()
    )
    load_split(arguments.data, DataOptions())  # say at once what is wrong with the data
    for seed in map(int, arguments.seeds.split(",")):
        for family in arguments.families.split(","):
            for run, arm in arms_of(family, arguments, arguments.settings, seed):
                if (arm[0], seed) in done or not re.search(arguments.only, arm[0]):
                    continue
                row = measure(run, arm, family, seed)
                with log.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                found = " ".join(f"{key} {row[key]:.4f}" for key in row if key.startswith(("valid", "test")))
                print(f"seed {seed} {row['name']}: {row['row_bytes']:.1f} bytes a row, {found}", flush=True)


if __name__ == "__main__":
    main()
