"""ExecuTorch's quantised embeddings: a table of 8 or 4 bits an entry, every row looked up, product, topk.

These operators look rows up, they do not score: to rank the catalogue the program expands all of it, which
is what the arm shows. Row numbers are an input, since the exporter would otherwise fold the table back to
float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6", "torch==2.13.0", "executorch==1.5.1"]
VARIANTS = ["8-bit", "4-bit"]
_GROUP = 32  # entries that share a scale at 4 bits


def build(variant: str, data: Path, k: int) -> None:
    """Quantise and export, unless it was done before."""
    path = data / f"embedding-{variant}.pte"
    if path.exists():
        return
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")
    n, dim = items.shape

    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(n, dim)

        def forward(self, query: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return torch.topk(query @ self.table(rows).T, k)[1]

    model = Table().eval()
    model.table.weight.data = torch.from_numpy(items)
    if variant == "8-bit":
        config = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    else:
        granularity = PerGroup(_GROUP) if dim % _GROUP == 0 else PerAxis(0)
        config = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=granularity)
    quantize_(model, config, lambda module, _name: isinstance(module, torch.nn.Embedding))
    rows = torch.arange(n)
    example = (torch.from_numpy(queries[:1].copy()), rows)
    lowered = to_edge_transform_and_lower(
        torch.export.export(model, example), partitioner=[XnnpackPartitioner()]
    )
    program = lowered.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=True))
    path.write_bytes(program.buffer)


def load(variant: str, data: Path, _k: int) -> Loaded:
    """Run the program as an app would."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    _unsafe_reset_threadpool(1)  # before a program is loaded: its threads are the runtime's own
    queries, path = np.load(data / "queries.npy"), data / f"embedding-{variant}.pte"
    rows = torch.arange(len(np.load(data / "items.npy", mmap_mode="r")))
    method = Runtime.get().load_program(str(path)).load_method("forward")
    asked = [torch.from_numpy(queries[i : i + 1].copy()) for i in range(len(queries))]
    note = "expands the whole table for every query"
    return Loaded(lambda query: method.execute([asked[query], rows])[0].numpy(), path.stat().st_size, note)


if __name__ == "__main__":
    serve(load, "torch", "executorch.kernels.quantized", "executorch.runtime", build=build)
