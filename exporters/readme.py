"""The README of a bundle: for the engineer who receives it, with code that runs as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from sparsedevice.packing import PackedFile

from .targets import Target

_HEAD = Template("""\
# A recommender in $bytes bytes

$n_items items, $dim columns, $per_item active entries per item, $values values; target `$target`.
Made by sparsedevice $version. What each file must hash to, what it was trained on and what it scored is in
`manifest.json`.

| file | what it is |
|---|---|
$files

$accuracy

## In Python

```python
from sparsedevice import load

recommender = load("model.sd")
answer = recommender.recommend(history=$history, k=$k)
for item, score in zip(answer.items, answer.scores):
    print(item, score)
```

`pip install sparsedevice` is all it needs. From a shell: `sparsedevice recommend . --history $joined`.
""")

_USERS = Template("""
The file also ships user rows and what each user has seen:

```python
from sparsedevice import load

answer = load("model.sd").recommend(user=$user, k=$k)
print(answer.items)
```
""")

_ONNX = Template("""
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
    "k": np.array([$k]),
}
best, scores = session.run(["rows", "scores"], inputs)
print([vocabulary["items"][row] for row in best])
```

All inputs are int64 with one dimension; row numbers outside the table are ignored. Fewer than `k` rows come
back only where fewer are eligible. Equal scores are in row order. The graph reads its tables a block of rows
at a time and never expands them.
""")

_WHAT = {
    "model.sd": "the packed file: item rows, ids, titles, how a history becomes a query; used in place",
    "model.onnx": "the graph: fold-in, scores, exclusion and the k best",
    "model.onnx.data": "the graph's tables; keep it beside `model.onnx`, which names it",
    "vocabulary.json": "ids and titles by row, for apps that use `model.onnx` alone",
}


def render_readme(
    target: Target, packed: PackedFile, content: Mapping[str, Any], names: Sequence[str]
) -> str:
    """The README of a bundle.

    Args:
        target: the bundle's target.
        packed: its packed file.
        content: what the manifest will say.
        names: the files of the bundle.
    """
    example = [packed.vocabulary.ids[row] for row in range(min(3, packed.n_items))]
    k = min(10, packed.n_items)
    users = packed.user_vocabulary
    text = _HEAD.substitute(
        bytes=f"{len(packed.data):,}",
        n_items=f"{packed.n_items:,}",
        dim=packed.dim,
        per_item=f"{packed.nnz / packed.n_items:.1f}",
        values=packed.values,
        target=target.name,
        version=content["sparsedevice"],
        files="\n".join(f"| `{name}` | {_WHAT[name]} |" for name in names),
        accuracy=_accuracy(content["accuracy"]),
        history=repr(example),
        joined=",".join(example),
        k=k,
    )
    if users is not None:
        text += _USERS.substitute(user=repr(users.ids[0]), k=k)
    if target.name == "onnx":
        text += _ONNX.substitute(
            data=" (`model.onnx.data` beside it)" if "model.onnx.data" in names else "",
            history=repr(example),
            user_input='\n    "user": np.array([-1]),      # or the row of a shipped user'
            if users is not None
            else "",
            k=k,
        )
    return text


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    """The measured accuracy as a table, or why there is none."""
    if accuracy["folded"] is None:
        return "Its accuracy was not measured: the data had no test part."
    k = accuracy["k"]
    names = (f"recall@{k}", f"ndcg@{k}")
    rows = [(f"this artefact, users {way}", accuracy[way]) for way in ("shipped", "folded") if accuracy[way]]
    rows += [(f"the trained model, users {way}", value) for way, value in accuracy["trained_model"].items()]
    lines = [f"| measured on the test part | {names[0]} | {names[1]} |", "|---|---|---|"]
    lines += [f"| {label} | {value[names[0]]:.4f} | {value[names[1]]:.4f} |" for label, value in rows]
    return "\n".join(lines)
