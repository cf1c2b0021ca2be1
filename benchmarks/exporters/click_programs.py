"""Programs of models of clicks beside each other: portable operators, and towers lowered to XNNPACK.

    python -m benchmarks.exporters.click_programs

Random numbers in the shape of Frappe's models: 10 fields of one category, 5,246 table rows of 64 columns,
90 % of the entries zero or none, towers of 128 and 64 neurons or half as many, float32. One thread; arms take
turns, medians of processor time.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime
from torch import Tensor, nn

from sparsedevice.click_run import ClickRun
from sparsedevice.data.clicks import CategoryField, ClickSchema
from sparsedevice.exporters.clicks.tables import ClickTables, click_tables
from sparsedevice.exporters.executorch import clicks as target
from sparsedevice.training.click_config import ClickConfig

FIELDS, ROWS, DIM = 10, 5_246, 64
BATCHES = (1, 16, 256)
REPETITIONS = 200


def random_run(*, sparse: bool, hidden: tuple[int, ...]) -> ClickRun:
    """A run in the shape of Frappe's."""
    rng = np.random.default_rng(0)
    bounds = np.linspace(0, ROWS, FIELDS + 1).astype(int)
    fields = tuple(
        CategoryField(f"field {i}", tuple(str(v) for v in range(b - a - 1)), int(a), 1)
        for i, (a, b) in enumerate(pairwise(bounds))
    )
    table = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    widths = (DIM + FIELDS * (FIELDS + 1) // 2, *hidden, 1)
    towers = {"constant": rng.standard_normal(DIM).astype(np.float32)}
    for n, (n_in, n_out) in enumerate(pairwise(widths)):
        towers[f"top.{n}.weight"] = (rng.standard_normal((n_out, n_in)) / n_in**0.5).astype(np.float32)
        towers[f"top.{n}.bias"] = np.zeros(n_out, np.float32)
    kept = sp.csr_array(table * (rng.random(table.shape) < 0.1)) if sparse else table
    return ClickRun(ClickConfig(dim=DIM), ClickSchema(fields, ()), kept, towers, None, None, {}, {})


class PortableTower(nn.Module):
    """A tower as portable operators take it, the weights turned beforehand."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = [layer for layer in layers if isinstance(layer, nn.Linear)]
        for place, layer in enumerate(self.layers):
            # Written into a new tensor: a view of one column keeps strides that the runtime takes for another
            # order of dimensions.
            turned = torch.empty(layer.weight.T.shape).copy_(layer.weight.detach().T)
            self.register_buffer(f"weight_{place}", turned)
            self.register_buffer(f"bias_{place}", layer.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """float32[n, in] to float32[n, out]."""
        for place in range(len(self.layers)):
            x = torch.relu(x) if place else x
            x = torch.addmm(self.get_buffer(f"bias_{place}"), x, self.get_buffer(f"weight_{place}"))
        return x


def write_portable(tables: ClickTables, folder: Path) -> None:
    """The program in portable operators alone."""
    model = target.ClickModel(tables)
    model.top = PortableTower(model.top)  # type: ignore[assignment]
    (folder / target.MODEL_NAME).write_bytes(target.lower(model, tables, []))


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _unsafe_reset_threadpool(1)
    runs = {
        "sparse table": random_run(sparse=True, hidden=(128, 64)),
        "sparse table, half the neurons": random_run(sparse=True, hidden=(64, 32)),
        "dense table": random_run(sparse=False, hidden=(128, 64)),
    }
    rng = np.random.default_rng(1)
    first = np.array([field.first_row for field in runs["dense table"].schema.categories])
    questions = {n: torch.from_numpy(first + rng.integers(0, 500, (n, FIELDS))) for n in BATCHES}
    methods, sizes = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for label, run in runs.items():
            tables = click_tables(run, "f32")
            for way, write in (("portable", write_portable), ("XNNPACK", target.write_clicks)):
                folder = Path(name) / str(len(methods))
                folder.mkdir()
                write(tables, folder)
                model = folder / target.MODEL_NAME
                methods[label, way] = Runtime.get().load_program(model).load_method("forward")
                sizes[label, way] = model.stat().st_size
        times: dict[tuple[tuple[str, str], int], list[float]] = {}
        for n, rows in questions.items():
            for _ in range(REPETITIONS if n < max(BATCHES) else REPETITIONS // 10):
                for arm, method in methods.items():
                    started = time.process_time_ns()
                    method.execute([rows])
                    times.setdefault((arm, n), []).append((time.process_time_ns() - started) / 1e3)
    head = " | ".join(f"µs, {n} examples" for n in BATCHES)
    print(f"| model | towers | program bytes | {head} |")
    print("| --- | --- | ---: |" + " ---: |" * len(BATCHES))
    for arm in methods:
        columns = " | ".join(f"{np.median(times[arm, n]):,.0f}" for n in BATCHES)
        print(f"| {' | '.join(arm)} | {sizes[arm]:,} | {columns} |")


if __name__ == "__main__":
    main()
