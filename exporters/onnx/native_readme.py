"""What the README of a bundle with the onnxruntime operator says beyond the common part."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from sparsedevice.packing import PackedFile

_TEXT = Template("""
## With onnxruntime

`model.onnx` is one node, `com.sparsedevice::ScoreTopK`, on the bytes of `model.sd`, which onnxruntime maps:
keep both in one folder. The operator is the C core in `sparsedevice.c`, bound by `sd_onnx.c`; it needs none
of onnxruntime's headers. Build it for the machine of the app, and register the library with the session:

```sh
cc -std=c11 -O3 -ffp-contract=off -fPIC -shared sd_onnx.c sparsedevice.c -o libsd_onnx.so
```

```python
import json
import numpy as np
import onnxruntime

vocabulary = json.load(open("vocabulary.json", encoding="utf-8"))
rows = {id_: row for row, id_ in enumerate(vocabulary["items"])}
options = onnxruntime.SessionOptions()
options.register_custom_ops_library("./libsd_onnx.so")
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])

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
back only where fewer are eligible. Equal scores are in row order.
""")


def render(packed: PackedFile, names: Sequence[str], history: Sequence[str]) -> str:  # noqa: ARG001
    """The section on ``model.onnx`` and its operator.

    Args:
        packed: the packed file.
        names: the files of the bundle.
        history: item ids for the example.
    """
    return _TEXT.substitute(history=repr(list(history)))
