"""What a portable ExecuTorch program takes besides its tables.

    python -m benchmarks.exporters.program_bytes [--instructions]

Random tables of one length of row, of three lengths, and of lengths that spread; files are int8, without
fold-in weights and with them. Padding is what fills the slots up; the last column is the program's bytes less
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
from sparsedevice.packing import FoldIn, PackedFile, pack

DIM = 64


def write_rows(path: Path, lengths: np.ndarray, *, weights: bool = False) -> PackedFile:
    """A packed file of random rows of the given lengths."""
    rng = np.random.default_rng(0)
    columns = np.concatenate([rng.choice(DIM, n, replace=False) for n in lengths])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    data = rng.standard_normal(len(columns)).astype(np.float32)
    items = sp.csr_array((data, columns.astype(np.int32), indptr), shape=(len(lengths), DIM))
    items.sort_indices()
    rule = FoldIn(rng.random(len(lengths)).astype(np.float32)) if weights else None
    pack(path, items, item_ids=[str(i) for i in range(len(lengths))], fold_in=rule)
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
    print("| table | weights | slots of lanes | program | entries, scales, weights | padding | besides |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, lengths in tables.items():
        for weights in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                packed = write_rows(Path(folder) / "model.sd", lengths, weights=weights)
                write_program(packed, Path(folder))
                program = (Path(folder) / "model.pte").read_bytes()
            slots = lay_out(packed.item_rows)
            padding = (slots.values.size - packed.nnz) * 2 + (slots.padded_rows - packed.n_items) * 4
            table = packed.nnz * 2 + packed.n_items * (8 if weights else 4)
            print(
                f"| {name} | {'yes' if weights else 'no'} | {len(slots.values)} of {slots.lanes} |"
                f" {len(program):,} | {table:,} | {padding:,} | {len(program) - table - padding:,} |",
                flush=True,
            )
    if arguments.instructions:
        for method, counts in instructions(program).items():
            print(f"{method}: {counts.total()} instructions; {dict(counts.most_common())}")


if __name__ == "__main__":
    main()
