"""Dense matrix factorisation in plain torch, with the loss that this project trains with."""

from __future__ import annotations

import scipy.sparse
from watch import Watch, learn

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "torch==2.13.0"]
VARIANTS = ["dense-64"]
DIM, EPOCHS, LR = 64, 40, 0.01


def train(_variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """Two tables, each gradient dense."""
    import torch
    from torch_softmax import fit

    torch.manual_seed(watch.seed)
    users, items = (torch.nn.Parameter(0.1 * torch.randn(n, DIM)) for n in matrix.shape)
    fit(matrix, [users, items], lambda: (users, items), watch, epochs=watch.epochs(EPOCHS), lr=LR, every=2)


if __name__ == "__main__":
    learn(train, "torch")
