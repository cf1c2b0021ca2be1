"""What the README of an ONNX bundle says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

from ..c import SOURCE_NAME

_TEXT = Template("""
## With onnxruntime alone

`model.onnx` (opset 18) is $graph
standard operators only, so any ONNX runtime on any platform can run it. $tables
It takes and returns row numbers; `vocabulary.json` holds the ids and titles by row.

```python
import json
import numpy as np
import onnxruntime

vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))
rows = {id_: row for row, id_ in enumerate(vocabulary["items"])}
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])

history = np.array([rows[id_] for id_ in $history], dtype=np.int64)
inputs = {
    "history": history,          # what this user used: rows, padding of -1 allowed
    "user": np.array([-1]),      # or the row of a shipped user
    "like": np.array([-1]),      # or a row whose neighbours are wanted
    "excluded": history,         # rows to leave out
    "candidates": np.empty(0, dtype=np.int64),  # rows to choose among; empty for all
    "k": np.array([5]),
}
best, scores = session.run(["rows", "scores"], inputs)
print([vocabulary["items"][row] for row in best])
```

All inputs are int64 with one dimension; row numbers outside the table are ignored. Fewer than `k` rows come
back only where fewer are eligible. Equal scores are in row order. The graph reads its tables a block of rows
at a time and never expands them.
""")

_OPERATOR = Template("""## With the C core as an operator

Standard operators are portable and slow. The operator of the same name is the C core in `sparsedevice.c`,
bound by `sd_onnx.c`; it needs none of onnxruntime's headers (1.16 or later). Build it for the machine of the
app:

```sh
cc -std=c11 -O3 -ffp-contract=off -fPIC -shared sd_onnx.c sparsedevice.c -o libsd_onnx.so
```

A session that has it registered runs the same `model.onnx` with it, and gives the same answers sooner:

```python
import json
import numpy as np
import onnxruntime

vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))
options = onnxruntime.SessionOptions()
options.register_custom_ops_library("./libsd_onnx.so")
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
history = np.array([vocabulary["items"].index(id_) for id_ in $history], dtype=np.int64)
nothing, none = np.empty(0, dtype=np.int64), np.array([-1])
inputs = {"history": history, "user": none, "like": none, "excluded": history, "candidates": nothing}
best, scores = session.run(["rows", "scores"], inputs | {"k": np.array([5])})
print([vocabulary["items"][row] for row in best])
```
""")


_NODE = "one node, `com.sparsedevice::SparseTopK`, and the function of that name, made of"
_SHARED_TABLES = "Its tables are those of `model.sd`,\nwhich a runtime maps: keep both in one folder."
_OWN_TABLES = "Large tables lie in\n`model.onnx.data`, which a runtime maps: keep both in one folder."


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:
    """The section on ``model.onnx`` and its operator.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    asked = repr(list(history))
    if packed.network is not None:
        text = _TEXT.substitute(history=asked, graph="made of", tables=_OWN_TABLES)
        return f"{text}\nScores are the output of the model's network for each row.\n"
    if SOURCE_NAME not in names:
        return _TEXT.substitute(history=asked, graph="made of", tables=_OWN_TABLES)
    text = _TEXT.substitute(history=asked, graph=_NODE, tables=_SHARED_TABLES)
    return f"{text}\n{_OPERATOR.substitute(history=asked)}"
