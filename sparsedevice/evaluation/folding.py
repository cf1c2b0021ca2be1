"""Users as their histories: the query that a device computes, for many users at once."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from sparsedevice.evaluation.ranking import Queries
from sparsedevice.packing.fold_in import FoldIn, Ridge, Steps
from sparsedevice.packing.tower import Tower


def inverse_norms(items: scipy.sparse.csr_array) -> NDArray[np.float32]:
    """1 / length of each item row, float32[n_items]; 1 for all-zero rows."""
    row = np.repeat(np.arange(items.shape[0]), np.diff(items.indptr))
    square = np.bincount(row, weights=np.square(items.data, dtype=np.float64), minlength=items.shape[0])
    return (1.0 / np.sqrt(np.where(square > 0, square, 1.0))).astype(np.float32)


def folded_queries(
    items: scipy.sparse.csr_array, similarity: str, fold_in: FoldIn, histories: scipy.sparse.csr_array
) -> Queries:
    """Queries of histories by a fold-in rule (docs/architecture.md, Fold-in), at length 1.

    The arithmetic is that of a device, in another order and without rounding queries. Gradient steps sample
    the rows of ``items`` as they stand here; a packed file may hold them in another order and then samples
    others.

    Args:
        items: item table, csr_array float32 (n_items x dim).
        similarity: "cosine" or "dot".
        fold_in: weights, matrix and rule.
        histories: csr_array (n_users x n_items); a stored entry is an item of the history.
    """
    scale = inverse_norms(items) if similarity == "cosine" else np.ones(items.shape[0], np.float32)
    weight = np.ones(items.shape[0]) if fold_in.weights is None else fold_in.weights.astype(np.float64)
    rows = _scaled(items, scale)
    samples = _samples(rows, fold_in.rule) if isinstance(fold_in.rule, Steps) else []

    def queries(users: NDArray[np.int64]) -> NDArray[np.float32]:
        block = histories[users]
        history = scipy.sparse.csr_array(
            (weight[block.indices], block.indices, block.indptr), shape=block.shape
        )
        query = (history @ rows).toarray()
        if isinstance(fold_in.rule, Ridge):
            query = _solve(rows, fold_in.matrix, fold_in.rule, history, query)
        else:
            total = query
            if fold_in.matrix is not None:
                query = query @ fold_in.matrix.T.astype(np.float64)
            if isinstance(fold_in.rule, Steps):
                mass = np.asarray(history.sum(axis=1)).reshape(-1, 1)
                usable = mass[:, 0] > 0
                mean = total / np.where(usable[:, None], mass, 1.0)
                refined = _refine(fold_in.rule, samples, history, mean, query)
                query = np.where(usable[:, None], refined, query)
            elif isinstance(fold_in.rule, Tower):
                query = climbed(fold_in.rule, query)
        return _unit(query).astype(np.float32)

    return queries


def _scaled(items: scipy.sparse.csr_array, scale: NDArray[np.float32]) -> scipy.sparse.csr_array:
    data = items.data.astype(np.float64) * np.repeat(scale, np.diff(items.indptr))
    return scipy.sparse.csr_array((data, items.indices, items.indptr), shape=items.shape)


def _unit(query: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(query, axis=1, keepdims=True)
    unit: NDArray[np.float64] = query / np.where(length > 0, length, 1.0)
    return unit


def climbed(tower: Tower, query: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a tower makes of queries, float64[n, dim]; 0 stays 0."""
    found = _unit(query)
    for place, (weight, bias) in enumerate(tower.layers):
        found = (np.tanh(found) if place else found) @ weight.T.astype(np.float64) + bias
    return np.where(np.any(query != 0, axis=1, keepdims=True), found, 0.0)


def _samples(
    rows: scipy.sparse.csr_array, rule: Steps
) -> list[tuple[NDArray[np.int64], scipy.sparse.csr_array]]:
    """Rows of each step's sample, and what they hold, csr_array float32 (rule.rows x dim)."""
    chosen = [rule.sample(step, rows.shape[0]) for step in range(rule.count)]
    return [(sample, rows[sample].astype(np.float32)) for sample in chosen]


def _refine(
    rule: Steps,
    samples: list[tuple[NDArray[np.int64], scipy.sparse.csr_array]],
    history: scipy.sparse.csr_array,
    mean: NDArray[np.float64],
    start: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gradient steps of the sampled softmax for many users, products in float32."""
    query = _unit(start)
    for step, (sample, rows) in enumerate(samples):
        table = rows.toarray()  # one sample is dense at a time
        power = np.exp((query.astype(np.float32) @ table.T - 1) * np.float32(rule.sharpness))
        power[history[:, sample].nonzero()] = 0
        mass = power.sum(axis=1, keepdims=True)
        pull = (power @ table) / np.where(mass > 0, mass, 1)
        query = _unit(query + rule.step_length(step) * (mean - rule.pull * pull))
    return query


def _solve(
    rows: scipy.sparse.csr_array,
    matrix: NDArray[np.float32] | None,
    rule: Ridge,
    history: scipy.sparse.csr_array,
    total: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Conjugate gradients for many users at once, each on its own system."""
    user = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
    chosen = rows[history.indices]
    entry = np.repeat(np.arange(len(user)), np.diff(chosen.indptr))
    query, residual, direction = np.zeros_like(total), total, total
    square = np.einsum("ij,ij->i", residual, residual)[:, None]
    for _ in range(rule.iterations):
        score = np.bincount(entry, chosen.data * direction[user[entry], chosen.indices], minlength=len(user))
        back = scipy.sparse.csr_array(
            (history.data * score, np.arange(len(user)), history.indptr), shape=(len(total), len(user))
        )
        applied = rule.penalty * direction + (back @ chosen).toarray()
        if matrix is not None:
            applied += direction @ matrix.T.astype(np.float64)
        curvature = np.einsum("ij,ij->i", direction, applied)[:, None]
        going = (square > 0) & (curvature > 0)
        alpha = np.where(going, square / np.where(going, curvature, 1.0), 0.0)
        query, residual = query + alpha * direction, residual - alpha * applied
        after = np.einsum("ij,ij->i", residual, residual)[:, None]
        direction = residual + np.where(going, after / np.where(going, square, 1.0), 0.0) * direction
        square = np.where(going, after, 0.0)
    return query
