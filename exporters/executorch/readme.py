"""What the README of an ExecuTorch bundle says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

import numpy as np

from sparsedevice.packing import PackedFile, Steps, Tower

from ..padded_rows import padded_rows
from .methods import FOLD_ROWS
from .program import DATA_NAME
from .slots import lay_out

_TEXT = Template("""
## With ExecuTorch alone

`model.pte` holds portable operators only, so the stock ExecuTorch runtime can run it. It works on row
numbers; `vocabulary.json` holds the ids and titles by row.

```python
import json
import torch
from executorch.runtime import Runtime

vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))
rows = {id_: row for row, id_ in enumerate(vocabulary["items"])}
program = Runtime.get().load_program("model.pte"$data)
fold, top = program.load_method("fold"), program.load_method("top")

history = sorted({rows[id_] for id_ in $history})
query = torch.zeros($dim, dtype=torch.float64)
for start in range(0, len(history), $chunk):
    chunk = history[start : start + $chunk]
    padded = torch.tensor(chunk + [-1] * ($chunk - len(chunk)))
    query = fold.execute([query, padded$weighted])[0].clone()
$matrix$steps
eligible = torch.zeros($padded, dtype=torch.bool)
eligible[: len(rows)] = True
eligible[history] = False
best, scores = top.execute([query, eligible])
print([vocabulary["items"][row] for row, score in zip(best[:5], scores[:5]) if score > -torch.inf])
```

`fold` adds $chunk rows at a time to the sum of a history (increasing, each row once, padding of -1); with one
row$unweighted it gives that item's row as a query, for its neighbours;$user `top` gives the best rows among
the eligible ones, best first, equal scores in row order, with minus infinity where fewer are eligible. Row
numbers outside the table are ignored.$external
""")

_EXTERNAL = """ The tables are in `model.ptd`, which the runtime maps: in C++
`Module("model.pte", "model.ptd")`. Keep the two files of one bundle together; the runtime does not see when
they are of two, `sparsedevice` does, by the manifest."""

_STEPS = Template("""
mean = total / $mass
query = query / query.norm()
for step in range($count):
    combs = [(i * $count + step) * $combs >> $shift for i in range($rows // 16)]
    sample = [comb // 4 * 64 + (comb % 4 + 4 * i) % $lanes for comb in combs for i in range(16)]
    sample = torch.tensor([-1 if row in history else row for row in sample])
    length = $length * ($count - step) / $count
    pull = torch.tensor([-$pull * length], dtype=torch.float64)
    query = program.load_method("step").execute([query, query + length * mean, sample, pull])[0].clone()
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
    """The section on ``model.pte``.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    matrix = ""
    if packed.fold_in.matrix is not None:
        matrix = 'query = program.load_method("matrix").execute([query])[0].clone()\n'
    rule, flat = packed.fold_in.rule, packed.network is None
    if isinstance(rule, Tower):
        matrix += 'query = program.load_method("tower").execute([query])[0].clone()\n'
    steps = ""
    if isinstance(rule, Steps):
        matrix = f"total = query\n{matrix}"
        if packed.fold_in.weights is not None:
            matrix = f'weights = sparsedevice.packing.PackedFile.open("model.sd").fold_in.weights\n{matrix}'
        steps = _STEPS.substitute(
            count=rule.count,
            rows=rule.rows,
            length=repr(float(np.float32(rule.length))),
            pull=repr(float(np.float32(rule.pull))),
            mass="len(history)" if packed.fold_in.weights is None else "float(weights[history].sum())",
            combs=4 * max(1, packed.n_items // 64),
            lanes=min(64, packed.n_items),
            shift=(rule.rows // 16 * rule.count).bit_length() - 1,
        )
    weighted = flat and packed.fold_in.weights is not None
    return _TEXT.substitute(
        data=', data_path="model.ptd"' if DATA_NAME in names else "",
        external=_EXTERNAL if DATA_NAME in names else "",
        history=repr(list(history)),
        dim=packed.dim,
        chunk=FOLD_ROWS,
        padded=lay_out(packed.item_rows).padded_rows if flat else padded_rows(packed.n_items),
        matrix=matrix,
        steps=steps,
        weighted=", torch.tensor([True])" if weighted else "",
        unweighted=" and `False`" if weighted else "",
        user=" `user` gives a shipped user's row;" if packed.n_users else "",
    )
