"""Which width and fan-in rank best at a number of bytes: the rule, and what was measured."""

from __future__ import annotations

import math

#: Recall@20 with folded-in users of the validation part, ML-1M, 15 epochs, 4-bit values, by fan-in for each
#: width; benchmarks/training/shapes.py, docs/results-training.md.
MEASURED: dict[int, dict[int, float]] = {
    32: {4: 0.1823, 8: 0.2169},
    64: {4: 0.1961, 8: 0.2251, 16: 0.2356},
    128: {4: 0.1946, 8: 0.2276, 16: 0.2368, 24: 0.2389},
    256: {8: 0.2245, 16: 0.2372, 24: 0.2433},
}
DIMS = tuple(MEASURED)


def expected_recall(dim: int, fan_in: float) -> float:
    """Recall@20 to expect of a shape, where the data were those that it was measured on.

    Linear in the logarithm of the fan-in, and flat beyond the largest that was measured; a width that was not
    measured is taken for the nearest one. Only the order of shapes is made use of.
    """
    nearest = min(DIMS, key=lambda measured: abs(math.log2(measured / dim)))
    points = sorted(MEASURED[nearest].items())
    low = max(i for i in range(len(points) - 1) if i == 0 or points[i][0] <= fan_in)
    (k0, r0), (k1, r1) = points[low : low + 2]
    wanted = min(max(fan_in, 1.0), float(dim), float(points[-1][0]))
    return r0 + (r1 - r0) * math.log2(wanted / k0) / math.log2(k1 / k0)
