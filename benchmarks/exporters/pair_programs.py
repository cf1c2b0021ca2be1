"""What XNNPACK would do for the network of a model with a score for each pair (NeuMF), in ExecuTorch.

    python -m benchmarks.exporters.pair_programs

Random numbers: 4,096 rows, 13 of 128 columns active, 64 hidden units. Arms: the program that the exporter
writes, one loop over blocks; the same offered to XNNPACK's partitioner; and the blocks written out, whose
network XNNPACK can take. One thread; arms take turns; medians of processor time.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime
from torch import Tensor, nn

from sparsedevice.exporters.executorch.pairs import PairTop, Table
from sparsedevice.packing.pair_network import PairNetwork, shapes
from sparsedevice.packing.quantize import Rows

ROWS, DIM, ACTIVE, HIDDEN, GMF = 4_096, 128, 13, 64, 64
REPETITIONS = 20


class Unrolled(nn.Module):
    """``PairTop`` without its loop: every block written out, the network's layers as XNNPACK takes them."""

    def __init__(self, top: PairTop) -> None:
        super().__init__()
        self.top = top
        self.layers = nn.Sequential(nn.Linear(HIDDEN, HIDDEN // 2), nn.ReLU(), nn.Linear(HIDDEN // 2, 1))
        for place, weight in ((0, top.second), (2, top.output)):
            self.layers[place].weight.data = weight.T.contiguous()
        self.layers[0].bias.data, self.layers[2].bias.data = top.second_bias, torch.zeros(1)

    def forward(self, query: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
        """See ``PairTop``."""
        top, table = self.top, self.top.table
        norm = (query * query).sum().sqrt()
        vector = (query / torch.where(norm > 0, norm, 1.0)).to(torch.float32)
        asked = torch.mm(vector.unsqueeze(0), top.user) + top.bias
        weights = torch.cat((top.item, (vector * top.gmf).unsqueeze(1)), 1)
        blocks, rows, width = table.columns.shape
        found = []
        for block in range(blocks):
            columns = table.columns[block].to(torch.int32).flatten()
            looked_up = torch.index_select(weights, 0, columns).reshape(rows, width, HIDDEN + 1)
            products = looked_up * table.values[block].to(torch.float32).unsqueeze(2)
            sums = products.sum(1) * table.scales[block].unsqueeze(1)
            first = torch.relu(sums[:, :HIDDEN] + asked)
            found.append((self.layers(first) + sums[:, HIDDEN:]).flatten())
        scores = torch.where(eligible, torch.cat(found), -torch.inf)
        best, places = torch.topk(scores, top.size)
        return places, best


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _unsafe_reset_threadpool(1)
    rng = np.random.default_rng(0)
    columns = np.concatenate([np.sort(rng.choice(DIM, ACTIVE, replace=False)) for _ in range(ROWS)])
    values = rng.integers(-127, 128, ROWS * ACTIVE).astype(np.int8)
    scales = np.full(ROWS, 1 / 400, np.float32)
    indptr = np.arange(ROWS + 1) * ACTIVE
    rows = Rows(indptr, columns.astype(np.int32), values, scales, DIM)
    parts = shapes(GMF, DIM, HIDDEN, HIDDEN // 2).items()
    network = PairNetwork(
        **{name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in parts}  # type: ignore[arg-type]
    )
    top = PairTop(Table(rows), network).eval()
    arms = {
        "one loop, portable": (top, []),
        "one loop, XNNPACK": (top, [XnnpackPartitioner()]),
        "written out, portable": (Unrolled(top).eval(), []),
        "written out, XNNPACK": (Unrolled(top).eval(), [XnnpackPartitioner()]),
    }
    query = torch.from_numpy(rng.standard_normal(DIM))
    inputs = (query, torch.ones(ROWS, dtype=torch.bool))
    methods, sizes, delegates, answers = {}, {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for arm, (module, partitioner) in arms.items():
            exported = torch.export.export(module, inputs)
            program = to_edge_transform_and_lower(exported, partitioner=partitioner).to_executorch()
            file = Path(folder) / f"{len(methods)}.pte"
            file.write_bytes(program.buffer)
            methods[arm] = Runtime.get().load_program(file).load_method("forward")
            sizes[arm] = len(program.buffer)
            plan = program.executorch_program.execution_plan[0]
            delegates[arm] = len(plan.delegates), sum(plan.non_const_buffer_sizes)
            answers[arm] = methods[arm].execute(list(inputs))[1][:20].clone()
        times: dict[str, list[float]] = {arm: [] for arm in arms}
        for _ in range(REPETITIONS):
            for arm, method in methods.items():
                started = time.process_time()
                method.execute(list(inputs))
                times[arm].append((time.process_time() - started) * 1e3)
    first = answers["one loop, portable"]
    print("| program | delegates | program bytes | memory planned | CPU ms | scores differ by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for arm in arms:
        off = float((answers[arm] - first).abs().max())
        count, memory = delegates[arm]
        print(
            f"| {arm} | {count} | {sizes[arm]:,} | {memory:,} | {np.median(times[arm]):.1f} | {off:.0e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
