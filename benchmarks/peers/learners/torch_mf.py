"""Dense matrix factorisation in plain torch, with the loss, batches and passes of this project's trainer."""

from __future__ import annotations

import scipy.sparse
from watch import Watch, learn

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "torch==2.13.0"]
VARIANTS = ["dense-64"]
DIM, LR = 64, 0.01


def train(_variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """Two tables, each gradient dense."""
    import torch
    from torch_softmax import fit, settings_for

    torch.manual_seed(watch.seed)
    users, items = (torch.nn.Parameter(0.1 * torch.randn(n, DIM)) for n in matrix.shape)
    epochs = watch.epochs(settings_for(matrix).epochs)
    fit(matrix, [users, items], lambda: (users, items), watch, epochs=epochs, lr=LR)


if __name__ == "__main__":
    learn(train, "torch")
