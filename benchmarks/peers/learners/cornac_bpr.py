"""cornac: Bayesian personalised ranking with item biases, 64 factors.

The library has no call after an epoch, so that it is trained a few epochs at a time, each from the factors of
the last; and with more than one thread it takes no seed.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from watch import Watch, learn

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "cornac==3.0.1"]
VARIANTS = ["bpr"]
EPOCHS = 100


def train(_variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """With the library's own loop and its data set; rows keep their numbers."""
    from cornac.data import Dataset
    from cornac.models import BPR

    n_users, n_items = matrix.shape
    pairs = matrix.tocoo()
    data = Dataset(
        n_users,
        n_items,
        {str(i): i for i in range(n_users)},
        {str(i): i for i in range(n_items)},
        (pairs.row.astype(np.int64), pairs.col.astype(np.int64), np.ones(matrix.nnz, np.float32)),
    )
    epochs, done = watch.epochs(EPOCHS), 0
    learnt: dict[str, np.ndarray] = {}
    while done < epochs:
        more = min(watch.every(epochs), epochs - done)
        model = BPR(
            k=64,
            max_iter=more,
            learning_rate=0.02,
            lambda_reg=0.01,
            num_threads=watch.threads,
            init_params=learnt or None,
        )
        model.fit(data)
        done += more
        learnt = {"U": model.u_factors, "V": model.i_factors, "Bi": model.i_biases}
        users = np.hstack([learnt["U"], np.ones((n_users, 1), np.float32)])
        watch.look(done, users, np.hstack([learnt["V"], learnt["Bi"][:, None]]), done * matrix.nnz)


if __name__ == "__main__":
    learn(train, "cornac.models", "cornac.data")
