"""A score that is a small network's output for each pair of a query and an item (NeuMF)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError

MAX_HIDDEN = 256
_HEAD_BYTES = 12
# Numbers of hidden units that are held at one time: they stay in the cache.
_PAIR_FLOATS = 1 << 20


@dataclass(frozen=True, eq=False)
class PairNetwork:
    """NeuMF (He et al., arXiv 1708.05031, equation 12) over rows that hold both embeddings side by side.

    The first g columns of a row are its embedding for generalised matrix factorisation, the other m the one
    for the multi-layer perceptron. For a query q (the user) and an item v

        score = Σ_c gmf_c q_c v_c + output · relu(second relu(user q_m + item v_m + bias) + second_bias)

    Attributes:
        gmf: float32[g], the weights of the products, part of the paper's last layer.
        user: float32[h, m], the part of the first layer that reads the user.
        item: float32[h, m], the part that reads the item.
        bias: float32[h].
        second: float32[h2, h].
        second_bias: float32[h2].
        output: float32[h2], the rest of the last layer.
    """

    gmf: NDArray[np.float32]
    user: NDArray[np.float32]
    item: NDArray[np.float32]
    bias: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    output: NDArray[np.float32]

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return len(self.gmf) + int(self.user.shape[1])

    def check(self, dim: int) -> None:
        """Check shapes and values against tables of ``dim`` columns.

        Raises:
            ConfigError: if a shape does not fit or a number is not finite.
        """
        wanted = shapes(len(self.gmf), dim, len(self.bias), len(self.output))
        for name, array in self.arrays().items():
            if array.shape != wanted[name]:
                raise ConfigError(f"network part {name} has shape {array.shape}; {wanted[name]} belongs here")
            if not np.isfinite(array).all():
                raise ConfigError(f"network part {name} holds a number that is not finite; train it again")

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The parts by name, in the order of a packed file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_bytes(self) -> bytes:
        """The section of a packed file (docs/format.md, "The pair network")."""
        head = np.array([len(self.gmf), len(self.bias), len(self.output)], "<u4")
        return head.tobytes() + b"".join(array.astype("<f4").tobytes() for array in self.arrays().values())

    @classmethod
    def from_bytes(cls, data: bytes, dim: int) -> PairNetwork:
        """The network of a section.

        Raises:
            ConfigError: if it is not as the format says.
        """
        if network_bytes(data, dim) != len(data):
            raise ConfigError(f"a pair network of {len(data)} bytes does not fit {dim} columns")
        g, hidden, second = (int(number) for number in np.frombuffer(data[:_HEAD_BYTES], "<u4"))
        numbers, parts, at = np.frombuffer(data[_HEAD_BYTES:], "<f4"), {}, 0
        for name, shape in shapes(g, dim, hidden, second).items():
            size = int(np.prod(shape))
            parts[name] = numbers[at : at + size].reshape(shape)
            at += size
        network = cls(**parts)
        network.check(dim)
        return network

    def scores(self, queries: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores float32[b, n] of queries float32[b, dim] and item rows float32[n, dim]."""
        g = len(self.gmf)
        found: NDArray[np.float32] = (queries[:, :g] * self.gmf) @ rows[:, :g].T
        asked = queries[:, g:] @ self.user.T + self.bias
        offered = rows[:, g:] @ self.item.T
        step = max(1, _PAIR_FLOATS // max(1, asked.size))
        for start in range(0, len(rows), step):
            hidden = np.maximum(asked[:, None] + offered[None, start : start + step], 0)
            hidden = np.maximum(hidden @ self.second.T + self.second_bias, 0)
            found[:, start : start + step] += hidden @ self.output
        return found


def network_bytes(head: bytes, dim: int) -> int:
    """How long the section is that begins with these bytes; 0 where there is none such."""
    if len(head) < _HEAD_BYTES:
        return 0
    g, hidden, second = (int(number) for number in np.frombuffer(head[:_HEAD_BYTES], "<u4"))
    if not (1 <= g < dim and 1 <= hidden <= MAX_HIDDEN and 1 <= second <= MAX_HIDDEN):
        return 0
    return _HEAD_BYTES + 4 * sum(int(np.prod(shape)) for shape in shapes(g, dim, hidden, second).values())


def shapes(g: int, dim: int, hidden: int, second: int) -> dict[str, tuple[int, ...]]:
    """The shape of each part."""
    m = dim - g
    return {
        "gmf": (g,),
        "user": (hidden, m),
        "item": (hidden, m),
        "bias": (hidden,),
        "second": (second, hidden),
        "second_bias": (second,),
        "output": (second,),
    }
