"""A model of clicks (DLRM) as one graph of standard ONNX operators.

Inputs, of any number n of examples::

    rows[n, slots]      int64: the table's row of each slot's category; see ClickScorer.logits
    numbers[n, fields]  float32, standardised; only where the log has numbers

Outputs: ``probability`` float32[n] of a click, and ``logit`` float32[n], its log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from sparsedevice.click_run import ClickRun
from sparsedevice.data.clicks import ClickSchema
from sparsedevice.packing.quantize import Rows

from ..clicks.scorer import ClickScorer
from ..clicks.tables import ClickTables, DenseRows
from .builder import FLOAT, INT64, Builder
from .model import MODEL_NAME, write_graph
from .session import open_session, run_session

_README = """
## With onnxruntime alone

`model.onnx` holds standard operators only (opset 18):

```python
import json
import numpy as np
import onnxruntime

schema = json.load(open("schema.json", encoding="utf-8"))
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
slots = [field["first_row"] for field in schema["categories"] for _ in range(field["slots"])]
inputs = {"rows": np.array([slots], dtype=np.int64)}  # nothing is known of this example
if schema["numbers"]:
    inputs["numbers"] = np.zeros((1, len(schema["numbers"])), dtype=np.float32)
print(session.run(["probability"], inputs)[0])
```
"""


def write_clicks(tables: ClickTables, folder: Path) -> list[str]:
    """Write ``model.onnx``, and ``model.onnx.data`` where the table is large, into ``folder``.

    Returns:
        The names of the files written.
    """
    return write_graph(click_graph(tables), folder)


def render(run: ClickRun, names: Sequence[str]) -> str:  # noqa: ARG001
    """The section on ``model.onnx``."""
    return _README


def click_graph(tables: ClickTables) -> onnx.GraphProto:
    """Build the graph of a model's tables."""
    b = Builder()
    pooled = _pooled(b, tables)
    n = b.op("Slice", b.op("Shape", "rows"), b.ints(0), b.ints(1))
    value = helper.make_tensor_value_info
    inputs = [value("rows", INT64, ["n", len(tables.slots)])]
    if "constant" in tables.towers:
        constant = b.table("constant", tables.towers["constant"][None])
        bottom = b.op("Expand", constant, b.op("Concat", n, b.ints(1), axis=0))
    else:
        inputs.append(value("numbers", FLOAT, ["n", len(tables.schema.numbers)]))
        bottom = _tower(b, "numbers", "bottom", tables, last_relu=True)
    vectors = b.op("Concat", b.op("Unsqueeze", bottom, b.ints(1)), pooled, axis=1)
    products = b.op("MatMul", vectors, b.op("Transpose", vectors, perm=[0, 2, 1]))
    flat = b.op("Reshape", products, b.ints(0, (len(tables.schema.categories) + 1) ** 2))
    chosen = b.op("Gather", flat, b.constant(tables.pairs, np.int64), axis=1)
    top = _tower(b, b.op("Concat", bottom, chosen, axis=1), "top", tables, last_relu=False)
    b.op("Squeeze", top, b.ints(1), name="logit")
    b.op("Sigmoid", "logit", name="probability")
    outputs = [value("probability", FLOAT, ["n"]), value("logit", FLOAT, ["n"])]
    return helper.make_graph(b.nodes, "clicks", inputs, outputs, b.initializers)


def _pooled(b: Builder, tables: ClickTables) -> str:
    """float32[n, fields, dim]: the mean of each field's rows. No input leads outside the table."""
    first = b.constant(tables.first_rows, np.int64)
    inside = b.op(
        "And",
        b.op("GreaterOrEqual", "rows", first),
        b.op("LessOrEqual", "rows", b.constant(tables.last_rows, np.int64)),
    )
    wanted = b.op("Where", inside, "rows", first)
    entries = _entries(b, tables.rows, b.op("Reshape", wanted, b.ints(-1)))
    shape = b.op("Concat", b.op("Shape", "rows"), b.ints(tables.rows.dim), axis=0)
    entries = b.op("Reshape", entries, shape)
    n_fields = len(tables.schema.categories)
    if len(tables.slots) == n_fields:
        return entries
    used = b.op("Or", b.op("GreaterOrEqual", "rows", b.ints(0)), b.constant(tables.leading, np.bool_))
    counted = b.op("Unsqueeze", b.cast(used, FLOAT), b.ints(2))
    member = b.constant(tables.slots == np.arange(n_fields)[:, None], np.float32)
    sums = b.op("MatMul", member, b.op("Mul", entries, counted))
    return b.op("Div", sums, b.op("MatMul", member, counted))


def _entries(b: Builder, rows: Rows | DenseRows, wanted: str) -> str:
    """float32[m, dim]: rows of the table, which exist."""
    values = b.table("table_values", rows.values)
    scales = b.op("Unsqueeze", b.op("Gather", b.table("table_scales", rows.scales), wanted), b.ints(1))
    if isinstance(rows, DenseRows):
        return b.op("Mul", b.cast(b.op("Gather", values, wanted), FLOAT), scales)
    # The places of a row's entries, padded to the longest row by places that count as 0.
    pointers = b.table("table_pointers", rows.indptr.astype(np.int64))
    columns = b.table("table_columns", rows.columns.astype(np.uint8 if rows.dim <= 256 else np.uint16))
    start = b.op("Unsqueeze", b.op("Gather", pointers, wanted), b.ints(1))
    end = b.op("Unsqueeze", b.op("Gather", pointers, b.op("Add", wanted, b.ints(1))), b.ints(1))
    longest = max(int(np.diff(rows.indptr).max()), 1)
    places = b.op("Add", start, b.constant(np.arange(longest), np.int64))
    there = b.op("Less", places, end)
    places = b.op("Where", there, places, b.ints(0))
    numbers = b.op("Mul", b.cast(b.op("Gather", values, places), FLOAT), scales)
    numbers = b.op("Where", there, numbers, b.constant(0.0, np.float32))
    size = b.op("Concat", b.op("Shape", wanted), b.ints(rows.dim), axis=0)
    zeros = b.op("Expand", b.constant(0.0, np.float32), size)
    at = b.cast(b.op("Gather", columns, places), INT64)
    return b.op("ScatterElements", zeros, at, numbers, axis=1, reduction="add")


def _tower(b: Builder, x: str, tower: str, tables: ClickTables, *, last_relu: bool) -> str:
    layers = tables.layers(tower)
    for place, (weight, bias) in enumerate(layers):
        names = (b.table(f"{tower}_{place}_weight", weight), b.table(f"{tower}_{place}_bias", bias))
        x = b.op("Gemm", x, *names, transB=1)
        if last_relu or place + 1 < len(layers):
            x = b.op("Relu", x)
    return x


class OnnxClicks(ClickScorer):
    """Scores with onnxruntime."""

    def __init__(self, schema: ClickSchema, folder: Path) -> None:
        """Load the model in ``folder``.

        Raises:
            MissingExtraError: if onnxruntime is not installed.
            BundleError: if onnxruntime does not accept the model.
        """
        super().__init__(schema)
        self._model = folder / MODEL_NAME
        self.session = open_session(self._model)
        self._inputs = [node.name for node in self.session.get_inputs()]

    def logits(self, rows: NDArray[np.int64], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :meth:`ClickScorer.logits`.

        Raises:
            BundleError: if the model fails, the schema beside it being another one's, say.
        """
        feed: dict[str, NDArray[Any]] = {"rows": rows, "numbers": numbers}
        wanted = {name: feed[name] for name in self._inputs if name in feed}
        found: NDArray[np.float32] = run_session(self.session, self._model, ["logit"], wanted)[0]
        return found
