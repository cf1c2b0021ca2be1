"""A model of clicks (DLRM) as an ExecuTorch program: portable operators, and XNNPACK for the towers.

``forward(rows int64[n, slots], numbers float32[n, fields]) -> probability float32[n], logit float32[n]`` for
up to 256 examples; ``numbers`` only where the log has some. ``ClickScorer.logits`` says what the inputs mean.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.backend.partitioner import Partitioner
from executorch.runtime import Runtime
from numpy.typing import NDArray
from torch import Tensor, nn

from sparsedevice.click_run import ClickRun
from sparsedevice.data.clicks import ClickSchema
from sparsedevice.errors import BundleError
from sparsedevice.files import atomic_file
from sparsedevice.packing.quantize import Rows

from ..clicks.scorer import ClickScorer
from ..clicks.tables import ClickTables
from .program import MODEL_NAME
from .shared import share_equal_parts

#: Examples of one call; memory for as many is planned.
MAX_EXAMPLES = 256

_README = """
## With ExecuTorch alone

`model.pte` holds portable operators, and the towers for XNNPACK, so a stock ExecuTorch runtime with that
backend runs it, for up to 256 examples at a time:

```python
import json
import torch
from executorch.runtime import Runtime

schema = json.load(open("schema.json", encoding="utf-8"))
forward = Runtime.get().load_program("model.pte").load_method("forward")
slots = [field["first_row"] for field in schema["categories"] for _ in range(field["slots"])]
inputs = [torch.tensor([slots])]  # nothing is known of this example
if schema["numbers"]:
    inputs.append(torch.zeros(1, len(schema["numbers"])))
probability, logit = forward.execute(inputs)
print(float(probability[0]))
```
"""


def tower(
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], *, last_relu: bool
) -> nn.Sequential:
    """Layers with max(x, 0) between them, and after the last where ``last_relu``."""
    parts: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
        parts += [linear, nn.ReLU()]
    return nn.Sequential(*parts if last_relu else parts[:-1])


class Pooled(nn.Module):
    """``(rows int64[n, slots]) -> float32[n, fields, dim]``: the mean of each field's rows.

    A number that is not a row of its field is read as the field's first row, so nothing is read elsewhere.
    """

    def __init__(self, tables: ClickTables) -> None:
        super().__init__()
        rows = tables.rows
        self.sparse, self.dim = isinstance(rows, Rows), rows.dim
        self.n_fields, self.n_slots = len(tables.schema.categories), len(tables.slots)
        self._keep(first=tables.first_rows, last=tables.last_rows, leading=tables.leading)
        self._keep(values=rows.values, scales=rows.scales)
        self._keep(member=(tables.slots[:, None] == np.arange(self.n_fields)).astype(np.float32))
        if isinstance(rows, Rows):
            self.longest = max(int(np.diff(rows.indptr).max()), 1)
            columns = rows.columns.astype(np.uint8 if rows.dim <= 256 else np.int16)
            # An entry of its own for all places behind a row's end.
            self._keep(
                columns=np.append(columns, columns.dtype.type(0)), pointers=rows.indptr.astype(np.int32)
            )
            self._keep(values=np.append(rows.values, rows.values.dtype.type(0)))
            self._keep(offsets=tables.slots * rows.dim)

    def _keep(self, **arrays: NDArray[np.generic]) -> None:
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def forward(self, rows: Tensor) -> Tensor:
        """See the class."""
        get = self.get_buffer
        inside = torch.logical_and(rows >= get("first"), rows <= get("last"))
        wanted = torch.where(inside, rows, get("first"))
        factors = get("scales")[wanted]  # [n, slots]
        one_each = self.n_slots == self.n_fields
        if not one_each:
            used = torch.logical_or(rows >= 0, get("leading")).to(torch.float32)
            counts = torch.mm(used, get("member"))
            factors = factors * used
        n = rows.shape[0]
        sums = self._sparse(wanted, factors) if self.sparse else self._dense(wanted, factors, one_each)
        sums = sums.reshape(n, self.n_fields, self.dim)
        return sums if one_each else sums / counts.unsqueeze(2)

    def _sparse(self, wanted: Tensor, factors: Tensor) -> Tensor:
        """float32[n, fields * dim]: entries added where their field and column are."""
        get = self.get_buffer
        places = get("pointers")[wanted].unsqueeze(2) + torch.arange(self.longest, dtype=torch.int32)
        there = places < get("pointers")[wanted + 1].unsqueeze(2)
        places = torch.where(there, places, get("values").shape[0] - 1)
        entries = get("values")[places] * factors.unsqueeze(2)
        at = get("columns")[places].to(torch.int64) + get("offsets").unsqueeze(1)
        zeros = torch.zeros(wanted.shape[0], self.n_fields * self.dim)
        return zeros.scatter_add(1, at.flatten(1), entries.flatten(1))

    def _dense(self, wanted: Tensor, factors: Tensor, one_each: bool) -> Tensor:
        """float32[n, fields, dim]."""
        entries = self.get_buffer("values")[wanted] * factors.unsqueeze(2)
        if one_each:
            return entries
        n = wanted.shape[0]
        turned = entries.transpose(1, 2).reshape(n * self.dim, self.n_slots)
        return torch.mm(turned, self.get_buffer("member")).reshape(n, self.dim, self.n_fields).transpose(1, 2)


class ClickModel(nn.Module):
    """The program's ``forward``; see the module's description."""

    def __init__(self, tables: ClickTables) -> None:
        super().__init__()
        self.pooled = Pooled(tables)
        self.top = tower(tables.layers("top"), last_relu=False)
        constant = tables.towers.get("constant")
        self.bottom = None if constant is not None else tower(tables.layers("bottom"), last_relu=True)
        self.constant: Tensor | None
        self.pairs: Tensor
        self.register_buffer("constant", None if constant is None else torch.from_numpy(constant))
        self.register_buffer("pairs", torch.from_numpy(tables.pairs))

    def forward(self, rows: Tensor, numbers: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See the module's description."""
        pooled = self.pooled(rows)
        n = rows.shape[0]
        if self.bottom is None:
            assert self.constant is not None
            bottom = self.constant + torch.zeros(n, 1)
        else:
            assert numbers is not None
            bottom = self.bottom(numbers)
        vectors = torch.cat([bottom.unsqueeze(1), pooled], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        chosen = torch.index_select(products, 1, self.pairs)
        logit = self.top(torch.cat([bottom, chosen], dim=1)).squeeze(1)
        return torch.sigmoid(logit), logit


def write_clicks(tables: ClickTables, folder: Path) -> list[str]:
    """Write ``model.pte`` into ``folder``.

    Returns:
        The names of the files written.
    """
    with atomic_file(folder / MODEL_NAME) as file:
        file.write(lower(ClickModel(tables), tables, [XnnpackPartitioner()]))
    return [MODEL_NAME]


def lower(model: nn.Module, tables: ClickTables, partitioners: list[Partitioner]) -> bytes:
    """The program of a model with ``ClickModel``'s inputs."""
    n = torch.export.Dim("n", min=1, max=MAX_EXAMPLES)
    args = [torch.zeros(2, len(tables.slots), dtype=torch.int64)]
    if tables.schema.numbers:
        args.append(torch.zeros(2, len(tables.schema.numbers)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.export").setLevel(logging.ERROR)
        shapes = tuple({0: n} for _ in args)
        exported = torch.export.export(model.eval(), tuple(args), dynamic_shapes=shapes)
        program = to_edge_transform_and_lower(exported, partitioner=partitioners).to_executorch()
    return share_equal_parts(program.buffer)


def render(run: ClickRun, names: Sequence[str]) -> str:  # noqa: ARG001
    """The section on ``model.pte``."""
    return _README


class ExecutorchClicks(ClickScorer):
    """Scores with the ExecuTorch runtime."""

    def __init__(self, schema: ClickSchema, folder: Path) -> None:
        """Load the program in ``folder``.

        Raises:
            BundleError: if the runtime does not accept it.
        """
        super().__init__(schema)
        model = folder / MODEL_NAME
        try:
            self._program = Runtime.get().load_program(model)
            self._method = self._program.load_method("forward")
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"ExecuTorch does not accept {model}: {reason}; export the run again"
            ) from error

    def logits(self, rows: NDArray[np.int64], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :meth:`ClickScorer.logits`."""
        found = [np.empty(0, np.float32)]
        for start in range(0, len(rows), MAX_EXAMPLES):
            part = slice(start, start + MAX_EXAMPLES)
            inputs = [torch.from_numpy(np.ascontiguousarray(rows[part]))]
            if self.schema.numbers:
                inputs.append(torch.from_numpy(np.ascontiguousarray(numbers[part])))
            found.append(self._method.execute(inputs)[1].numpy().copy())
        return np.concatenate(found)
