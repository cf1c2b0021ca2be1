"""ExecuTorch with XNNPACK: a dense linear layer and topk, float32 or dynamically quantised to int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from serve import Loaded, serve

REQUIREMENTS = ["numpy==2.4.6", "torch==2.13.0", "executorch==1.5.1"]
VARIANTS = ["xnnpack-fp32", "xnnpack-int8"]


def build(variant: str, data: Path, k: int) -> None:
    """Export, unless it was done before."""
    path = data / f"{variant}.pte"
    if not path.exists():
        items, queries = np.load(data / "items.npy"), np.load(data / "queries.npy")
        path.write_bytes(program(variant, items, queries[0], k))


def load(variant: str, data: Path, _k: int) -> Loaded:
    """Run the program as an app would."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    _unsafe_reset_threadpool(1)  # before a program is loaded: its threads are the runtime's own
    queries, path = np.load(data / "queries.npy"), data / f"{variant}.pte"
    method = Runtime.get().load_program(str(path)).load_method("forward")
    rows = [torch.from_numpy(queries[i : i + 1].copy()) for i in range(len(queries))]
    return Loaded(lambda query: method.execute([rows[query]])[0].numpy(), path.stat().st_size)


def program(variant: str, items: np.ndarray, query: np.ndarray, k: int | None) -> bytes:
    """The exported program: from a query [1, dim] to the best k rows, or with None to all scores."""
    import torch

    n, dim = items.shape

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(dim, n, bias=False)

        def forward(self, query: torch.Tensor) -> torch.Tensor:
            scores = self.linear(query)
            return scores if k is None else torch.topk(scores, k)[1]

    model = Dense().eval()
    model.linear.weight.data = torch.from_numpy(items)
    return lower(variant, model, (torch.from_numpy(query[None].copy()),))


def lower(variant: str, model: Any, example: tuple[Any, ...], shapes: Any = None) -> bytes:
    """A module's program, with what XNNPACK takes of it; ``shapes`` are the dimensions that vary."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.export(model, example, dynamic_shapes=shapes).module()
    if variant == "xnnpack-int8":
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = XNNPACKQuantizer()
        quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
        prepared = prepare_pt2e(exported, quantizer)
        prepared(*example)
        exported = convert_pt2e(prepared)
    lowered = to_edge_transform_and_lower(
        torch.export.export(exported, example, dynamic_shapes=shapes), partitioner=[XnnpackPartitioner()]
    )
    return bytes(lowered.to_executorch().buffer)


if __name__ == "__main__":
    serve(load, "torch", "executorch.runtime", build=build)
