"""implicit: Bayesian personalised ranking and alternating least squares, 64 factors."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from watch import Watch, learn

REQUIREMENTS = ["numpy==2.4.6", "scipy==1.17.1", "implicit==0.7.3"]
VARIANTS = ["bpr", "als"]


def train(variant: str, matrix: scipy.sparse.csr_array, watch: Watch) -> None:
    """With the library's own loops; the biases of BPR are further factors there."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    shared = {"factors": 64, "num_threads": watch.threads, "random_state": watch.seed}
    if variant == "bpr":
        epochs = watch.epochs(200)
        model = BayesianPersonalizedRanking(
            learning_rate=0.01, regularization=0.01, iterations=epochs, **shared
        )
    else:
        epochs = watch.epochs(15)
        model = AlternatingLeastSquares(
            regularization=0.05, alpha=10.0, iterations=epochs, calculate_training_loss=False, **shared
        )

    every = watch.every(epochs)

    def look(epoch: int, *_: object) -> None:
        if (epoch + 1) % every == 0 or epoch + 1 == epochs:
            users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
            watch.look(epoch + 1, users, items, (epoch + 1) * matrix.nnz)

    ones = scipy.sparse.csr_matrix(matrix.astype(np.float32))
    model.fit(ones, show_progress=False, callback=look)


if __name__ == "__main__":
    learn(train, "implicit.cpu.als", "implicit.cpu.bpr")
