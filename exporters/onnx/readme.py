"""What the README of an ONNX bundle says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

_TEXT = Template("""
## With onnxruntime alone

`model.onnx` holds standard operators only (opset 18), so any ONNX runtime on any platform can run it$data.
It takes and returns row numbers; `vocabulary.json` holds the ids and titles by row.

```python
import json
import numpy as np
import onnxruntime

vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))
rows = {id_: row for row, id_ in enumerate(vocabulary["items"])}
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

history = np.array([rows[id_] for id_ in $history], dtype=np.int64)
nothing = np.empty(0, dtype=np.int64)
inputs = {
    "history": history,          # what this user used: rows, padding of -1 allowed
    "like": np.array([-1]),      # or a row whose neighbours are wanted$user_input
    "excluded": history,         # rows to leave out
    "candidates": nothing,       # rows to choose among; empty for all
    "k": np.array([5]),
}
best, scores = session.run(["rows", "scores"], inputs)
print([vocabulary["items"][row] for row in best])
```

All inputs are int64 with one dimension; row numbers outside the table are ignored. Fewer than `k` rows come
back only where fewer are eligible. Equal scores are in row order. The graph reads its tables a block of rows
at a time and never expands them.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
    """The section on ``model.onnx``.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    user = '\n    "user": np.array([-1]),      # or the row of a shipped user' if packed.n_users else ""
    return _TEXT.substitute(
        data=" (`model.onnx.data` beside it)" if "model.onnx.data" in names else "",
        history=repr(list(history)),
        user_input=user,
    )
