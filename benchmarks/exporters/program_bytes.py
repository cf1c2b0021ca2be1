"""What a portable ExecuTorch program takes besides its tables.

    python -m benchmarks.exporters.program_bytes [--instructions]

Random tables of one length of row, of three lengths, and of lengths that spread, by the coding of values and
what the fold-in rule has. Padding is what fills the slots up; the last column is the program's bytes less
entries, padding, scales and weights: instructions, and the few bytes by which a slot is found.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.schema import KernelCall

from sparsedevice.exporters.executorch import write_program
from sparsedevice.exporters.executorch.slots import lay_out
from sparsedevice.packing import FoldIn, PackedFile, Steps, pack
from sparsedevice.packing.format import Values

DIM = 64

#: Codings of values, with the bytes of one entry.
ENTRY_BYTES: dict[Values, float] = {"int8": 2, "int4": 1.5}
#: As training takes them of a large catalogue.
STEPS = Steps(16, 2048, 1.0, 10.0, 1.25)


def write_rows(
    path: Path,
    lengths: np.ndarray,
    *,
    values: Values = "int8",
    weights: bool = False,
    rule: Steps | None = None,
) -> PackedFile:
    """A packed file of random rows of the given lengths."""
    rng = np.random.default_rng(0)
    columns = np.concatenate([rng.choice(DIM, n, replace=False) for n in lengths])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data = rng.standard_normal(len(columns)).astype(np.float32)
    items = sp.csr_array((data, columns.astype(np.int32), indptr), shape=(len(lengths), DIM))
    items.sort_indices()
    fold_in = FoldIn(rng.random(len(lengths)).astype(np.float32) if weights else None, rule=rule)
    pack(path, items, item_ids=[str(i) for i in range(len(lengths))], values=values, fold_in=fold_in)
    return PackedFile.open(path)


def instructions(program: bytes) -> dict[str, Counter[str]]:
    """Operators of each method, with how often it has them."""
    plans = deserialize_pte_binary(program).program.execution_plan
    counts = {}
    for plan in plans:
        names = (
            plan.operators[step.instr_args.op_index].name
            if isinstance(step.instr_args, KernelCall)
            else type(step.instr_args).__name__
            for chain in plan.chains
            for step in chain.instructions
        )
        counts[plan.name] = Counter(names)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instructions", action="store_true", help="List the operators of each method.")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    tables = {
        "6 in each of 100,000 rows": np.full(100_000, 6),
        "24, 8 and 2 in thirds of 30,000 rows": np.repeat([24, 8, 2], 10_000),
        "1 to 20 (Poisson, 6.4) in 100,000 rows": np.clip(rng.poisson(6.4, 100_000), 1, 20),
    }
    print("| table | values | fold-in | slots of lanes | program | tables | padding | besides |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    first, *others = tables
    arms: list[tuple[str, Values, str]] = [(first, "int8", kind) for kind in ("sum", "weights", "steps")]
    arms += [(first, "int4", kind) for kind in ("sum", "weights", "steps")]
    arms += [(name, "int8", "weights") for name in others]
    for name, values, kind in arms:
        entry = ENTRY_BYTES[values]
        lengths, weights = tables[name], "weights" in kind
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.sd"
            rule = STEPS if "steps" in kind else None
            packed = write_rows(path, lengths, values=values, weights=weights, rule=rule)
            write_program(packed, Path(folder))
            program = (Path(folder) / "model.pte").read_bytes()
        slots = lay_out(packed.item_rows)
        padding = int((slots.values.size - packed.nnz) * entry) + (slots.padded_rows - packed.n_items) * 4
        table = int(packed.nnz * entry) + packed.n_items * (8 if weights else 4)
        print(
            f"| {name} | {values} | {kind} | {len(slots.values)} of {slots.lanes} |"
            f" {len(program):,} | {table:,} | {padding:,} | {len(program) - table - padding:,} |",
            flush=True,
        )
    if arguments.instructions:
        for method, counts in instructions(program).items():
            print(f"{method}: {counts.total()} instructions; {dict(counts.most_common())}")


if __name__ == "__main__":
    main()
