"""LightGCN (He et al., SIGIR 2020, eq. 7 and 8) in plain torch: three layers, their mean, no other weights.

With the losses of ``torch_softmax`` instead of the paper's BPR: every step costs one propagation over the
whole graph, whatever its batch, and an epoch of BPR has 350 steps of 2,048 pairs where one of whole users has
24 to 30.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse
from watch import Watch, learn

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "torch==2.13.0"]
VARIANTS = ["3-layers-64"]
DIM, LAYERS, EPOCHS, LR = 64, 3, 30, 0.01


def train(_variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """One table of users and items, spread over the graph of interactions."""
    import torch
    from torch_softmax import fit

    torch.manual_seed(watch.seed)
    torch.set_num_threads(watch.threads)
    n_users, n_items = matrix.shape
    both = scipy.sparse.block_array([[None, matrix], [matrix.T, None]], format="csr")
    scale = scipy.sparse.dia_array(
        (1 / np.sqrt(np.maximum(both.sum(axis=1), 1))[None], [0]), shape=both.shape
    )
    both = scipy.sparse.csr_array(scale @ both @ scale)
    warnings.filterwarnings("ignore", message="Sparse")  # both are about what is tried out, not about errors
    graph = torch.sparse_csr_tensor(
        torch.from_numpy(both.indptr.astype(np.int64)),
        torch.from_numpy(both.indices.astype(np.int64)),
        torch.from_numpy(both.data.astype(np.float32)),
        size=both.shape,
    )

    class Spread(torch.autograd.Function):
        """The graph is symmetric, so that the gradient is spread by the same product."""

        @staticmethod
        def forward(_context: object, table: torch.Tensor) -> torch.Tensor:
            return graph @ table

        @staticmethod
        def backward(_context: object, gradient: torch.Tensor) -> torch.Tensor:
            return graph @ gradient.contiguous()

    table = torch.nn.Parameter(0.1 * torch.randn(n_users + n_items, DIM))

    def vectors() -> tuple[torch.Tensor, torch.Tensor]:
        layer = total = table
        for _ in range(LAYERS):
            layer = Spread.apply(layer)
            total = total + layer
        return total[:n_users], total[n_users:]

    fit(matrix, [table], vectors, watch, epochs=watch.epochs(EPOCHS), lr=LR)


if __name__ == "__main__":
    learn(train, "torch")
