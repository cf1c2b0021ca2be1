"""From the weighted sum of a history to the query, in the order of operations that every backend keeps.

The lines are those of docs/architecture.md, "Fold-in". A sum that starts at its first term and goes on in
order is ``cumsum``; numpy's own ``sum`` and ``@`` group terms otherwise and give other last bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sparsedevice.packing.fold_in import FoldIn, Ridge, Steps
from sparsedevice.packing.quantize import Rows
from sparsedevice.packing.tower import Tower

Vector = NDArray[np.float64]
Scores = Callable[[Vector], NDArray[np.float32]]


def refined(rows: Rows, fold_in: FoldIn, history: NDArray[np.int32], total: Vector, scores: Scores) -> Vector:
    """The query before it is quantised.

    Args:
        rows: item rows.
        fold_in: the rule.
        history: rows of the history, increasing, at least one.
        total: their weighted sum, float64[dim].
        scores: scores of all items for a query.
    """
    if isinstance(fold_in.rule, Ridge):
        return _solve(rows, fold_in, fold_in.rule, history, total)
    query = total if fold_in.matrix is None else _product(fold_in.matrix, total, np.zeros(len(total)))
    if isinstance(fold_in.rule, Steps):
        return _refine(rows, fold_in, fold_in.rule, history, total, query, scores)
    if isinstance(fold_in.rule, Tower):
        return _climb(fold_in.rule, query)
    return query


def exponential(x: Vector) -> Vector:
    """e^x for x brought within -700 … 700: 2^k times a polynomial, with the same bits on every machine."""
    x = np.minimum(np.where(x > -700, x, -700), 700)
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    p = np.full_like(r, 1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        p = p * r + coefficient
    result: Vector = np.ldexp(p, k.astype(np.int32))
    return result


def _refine(
    rows: Rows,
    fold_in: FoldIn,
    rule: Steps,
    history: NDArray[np.int32],
    total: Vector,
    q: Vector,
    scores: Scores,
) -> Vector:
    weights = np.ones(len(history)) if fold_in.weights is None else fold_in.weights[history].astype(float)
    weight = _sum(weights)
    if not weight > 0:
        return q
    length = np.sqrt(_sum(q * q))
    if not length > 0:
        return q
    q, mean = q / length, total / weight
    for step in range(rule.count):
        pull, mass = np.zeros(len(q)), 0.0
        sample = rule.sample(step, len(rows.scales))
        sample = sample[~np.isin(sample, history)]
        shifted = scores(q)[sample].astype(np.float64) - 1
        for row, e in zip(sample, exponential(shifted * float(np.float32(rule.sharpness))), strict=True):
            columns, values, scale = _row(rows, row)
            mass += e
            pull[columns] += e * scale * values
        away = float(np.float32(rule.pull)) * (pull / mass) if mass > 0 else 0.0
        q = q + rule.step_length(step) * (mean - away)
        length = np.sqrt(_sum(q * q))
        if not length > 0:
            return q
        q = q / length
    return q


def _climb(tower: Tower, q: Vector) -> Vector:
    length = np.sqrt(_sum(q * q))
    if not length > 0:
        return q
    q = q / length
    for place, (weight, bias) in enumerate(tower.layers):
        if place:
            q = 1 - 2 / (exponential(2 * q) + 1)
        q = _product(weight, q, bias.astype(np.float64))
    return q


def _solve(rows: Rows, fold_in: FoldIn, rule: Ridge, history: NDArray[np.int32], total: Vector) -> Vector:
    q, r, p = np.zeros(len(total)), total, total
    square = _sum(r * r)
    for _ in range(rule.iterations):
        if not square > 0:
            break
        ap = float(np.float32(rule.penalty)) * p
        if fold_in.matrix is not None:
            ap = _product(fold_in.matrix, p, ap)
        for row in history:
            columns, values, scale = _row(rows, row)
            weight = 1.0 if fold_in.weights is None else float(fold_in.weights[row])
            ap[columns] += weight * (scale * _sum(values * p[columns])) * scale * values
        curvature = _sum(p * ap)
        if not curvature > 0:
            break
        alpha = square / curvature
        q, r = q + alpha * p, r - alpha * ap
        after = _sum(r * r)
        p = r + after / square * p
        square = after
    return q


def _product(matrix: NDArray[np.float32], x: Vector, start: Vector) -> Vector:
    """``start + matrix @ x``, column by column."""
    result: Vector = start.copy()
    for column in range(len(x)):
        result += matrix[:, column].astype(np.float64) * x[column]
    return result


def _row(rows: Rows, row: int) -> tuple[NDArray[np.int32], Vector, float]:
    a, b = rows.indptr[row], rows.indptr[row + 1]
    values: Vector = rows.values[a:b].astype(np.float64)
    return rows.columns[a:b], values, float(rows.scales[row])


def _sum(terms: Vector) -> float:
    return float(np.cumsum(terms)[-1]) if len(terms) else 0.0
