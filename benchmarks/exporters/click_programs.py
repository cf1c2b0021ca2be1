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
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
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


class Lowered(nn.Module):
    """The model with its tower as linear layers, as XNNPACK takes them."""

    def __init__(self, tables: ClickTables) -> None:
        super().__init__()
        self.model = target.ClickModel(tables)
        layers: list[nn.Module] = []
        for weight, bias in tables.layers("top"):
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
            layers += [linear, nn.ReLU()]
        self.model.top = nn.Sequential(*layers[:-1])  # type: ignore[assignment]

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See ``ClickModel``."""
        answer: tuple[Tensor, Tensor] = self.model(rows)
        return answer


def write_lowered(tables: ClickTables, folder: Path) -> None:
    """The program whose tower XNNPACK runs."""
    n = torch.export.Dim("n", min=1, max=target.MAX_EXAMPLES)
    args = (torch.zeros(2, FIELDS, dtype=torch.int64),)
    exported = torch.export.export(Lowered(tables).eval(), args, dynamic_shapes=({0: n},))
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    (folder / target.MODEL_NAME).write_bytes(program.buffer)


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
            for way, write in (("portable", target.write_clicks), ("XNNPACK", write_lowered)):
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
