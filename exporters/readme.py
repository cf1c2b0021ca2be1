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

recommender = load("model.sd"$backend)
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

answer = load("model.sd"$backend).recommend(user=$user, k=$k)
print(answer.items)
```
""")

_WHAT = {
    "model.sd": "the packed file: item rows, ids, titles, how a history becomes a query; used in place",
    "model.onnx": "the graph: fold-in, scores, exclusion and the k best; its tables are those of `model.sd`",
    "model.onnx.data": "the graph's tables",
    "model.pte": "the program: fold-in, scores, exclusion and the k best",
    "model.ptd": "the program's tables",
    "sparsedevice.h": "the C core's interface, with a description of every function",
    "sparsedevice.c": "the C core",
    "sd_recommend.c": "a command-line tool that recommends, and an example of how to use the core",
    "sd_bench.c": "a command-line tool that times queries on the machine it runs on",
    "sd_bench.h": "what the parts of sd-bench share",
    "sd_bench_calls.h": "what sd-bench times",
    "sd_bench_samples.h": "how sd-bench takes samples and says what they say",
    "sd_bench_system.h": "what sd-bench asks of the operating system",
    "sd_bench_trace.h": "the histories that sd-bench asks about",
    "sd_internal.h": "the inside of the core, of which sd_bench.c times the parts",
    "sd_file.h": "a packed file, mapped and checked, for sd_recommend.c",
    "CMakeLists.txt": "builds the core as a library, and the tools",
    "Makefile": "the same without CMake; also for other machines",
    "sd_rows.h": "puts questions in rows of tensors to the core",
    "sd_onnx.c": "the operator `com.sparsedevice::SparseTopK` for onnxruntime",
    "sd_ort.h": "the entries of onnxruntime's C interface that the operator calls",
    "sd_executorch.cpp": "the operator `sparsedevice::score_topk` for ExecuTorch",
    "sd_executorch_run.cpp": "a command-line runner without Python and torch",
    "vocabulary.json": "ids and titles by row, for apps that have no reader of packed files",
    "sparsedevice.js": "the ES module for browsers and Node",
    "sparsedevice-errors.js": "a part of it: errors",
    "sparsedevice-loading.js": "a part of it: loading core and model",
    "sparsedevice-search.js": "a part of it: search by title",
    "sparsedevice-delta.js": "the ES module that updates a model by delta",
    "sparsedevice-delta-body.js": "a part of it: what a delta says",
    "sparsedevice-packed.js": "a part of it: packed files, read and written",
    "sparsedevice-strings.js": "a part of it: ids and titles, read and written",
    "sparsedevice-blocks.js": "a part of it: ids that are rising numbers",
    "sparsedevice-columns.js": "a part of it: ids of one length",
    "sparsedevice-delta.d.ts": "its types for TypeScript",
    "sparsedevice-compact.js": "the ES module that expands a model in the compact coding",
    "sparsedevice-compact-body.js": "a part of it: what a compact file says",
    "sparsedevice-prefix-codes.js": "a part of it: the entropy coder",
    "sparsedevice-compact.d.ts": "its types for TypeScript",
    "sparsedevice-sealed.js": "a part of both: checksums and inflating",
    "sparsedevice-content.js": "a part of both: what they say in the same way",
    "model.sdz": "the model in the compact coding: smaller to download, expanded once",
    "model.json": "the model's sha256, by which the page sees that there is a newer one",
    "sparsedevice.d.ts": "its types for TypeScript, with a description of every argument",
    "sparsedevice-simd.wasm": "the core, for browsers with WebAssembly SIMD",
    "sparsedevice.wasm": "the core, for all others; the module chooses",
    "package.json": "lets npm and bundlers take the folder as the package `sparsedevice`",
    "index.html": "the page: search, a history, recommendations",
    "app.js": "the page's code, an example of how to use the module",
    "keep.js": "a part of it: the model kept on the device, and updated by delta",
    "style.css": "the page's looks",
    "icon.svg": "the page's icon",
    "app.webmanifest": "lets a phone install the page as an app",
    "service-worker.js": "keeps all of it on the device, for use without a network",
    "android/": "the Gradle project: library, demo app, and tools that build it without an SDK",
}


#: Where scores are a network's, which only the artefact and the reference in Python compute.
_NETWORK_WHAT = {
    "model.sd": "the packed file: item rows, ids, titles, the network; the C core does not run it",
    "model.onnx": "the graph: fold-in, scores, exclusion and the k best",
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
    network = packed.network is not None
    what, backend = (_WHAT | _NETWORK_WHAT, ', "numpy"') if network else (_WHAT, "")
    text = _HEAD.substitute(
        bytes=f"{len(packed.data):,}",
        n_items=f"{packed.n_items:,}",
        dim=packed.dim,
        per_item=f"{packed.nnz / packed.n_items:.1f}",
        values=packed.values,
        target=target.name,
        version=content["sparsedevice"],
        files="\n".join(f"| `{name}` | {what[name]} |" for name in _listed(names)),
        accuracy=_accuracy(content["accuracy"]),
        history=repr(example),
        joined=",".join(example),
        k=k,
        backend=backend,
    )
    if users is not None:
        text += _USERS.substitute(user=repr(users.ids[0]), k=k, backend=backend)
    text += target.render_readme(packed, names, example)
    return text


def _listed(names: Sequence[str]) -> list[str]:
    """Files of the bundle's folder; folders once, with a slash."""
    return list(dict.fromkeys(name if "/" not in name else name.split("/")[0] + "/" for name in names))


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
