"""What the README of an ExecuTorch bundle says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

from .methods import FOLD_ROWS

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
program = Runtime.get().load_program("model.pte")
fold, top = program.load_method("fold"), program.load_method("top")

history = sorted({rows[id_] for id_ in $history})
query = torch.zeros($dim, dtype=torch.float64)
for start in range(0, len(history), $chunk):
    chunk = history[start : start + $chunk]
    padded = torch.tensor(chunk + [-1] * ($chunk - len(chunk)))
    query = fold.execute([query, padded])[0].clone()
$matrix
eligible = torch.zeros($padded, dtype=torch.bool)
eligible[: len(rows)] = True
eligible[history] = False
best, scores = top.execute([query, eligible])
print([vocabulary["items"][row] for row, score in zip(best[:5], scores[:5]) if score > -torch.inf])
```

`fold` adds $chunk rows at a time to the sum of a history (increasing, each row once, padding of -1); $item
gives one item's row as a query, for its neighbours;$user `top` gives the best rows among the eligible ones,
best first, equal scores in row order, with minus infinity where fewer are eligible. Row numbers outside the
table are ignored.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:  # noqa: ARG001
    """The section on ``model.pte``.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    from ..blocks import cut
    from .program import MAX_GROUPS

    last = cut(packed.item_rows, MAX_GROUPS)[-1]
    matrix = packed.fold_in.matrix is not None
    return _TEXT.substitute(
        history=repr(list(history)),
        dim=packed.dim,
        chunk=FOLD_ROWS,
        padded=last.start + last.n_rows,
        matrix='query = program.load_method("matrix").execute([query])[0].clone()\n' if matrix else "",
        item="`item`" if packed.fold_in.weights is not None else "`fold` of one row",
        user=" `user` gives a shipped user's row;" if packed.n_users else "",
    )
