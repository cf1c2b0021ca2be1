"""How a device turns a history into a query; the choice is part of the model and of the packed file."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsedevice.errors import ConfigError
from sparsedevice.packing.tower import Tower, tower_size

MAX_SOLVE, MAX_STEPS, MAX_SAMPLE, MAX_SHARPNESS = 64, 16, 65_536, 350.0
#: Rows of a block of 64 that a step's sample takes together: every fourth.
COMB_ROWS = 16
_BLOCK_ROWS = 64

_WORDS = struct.Struct("<3I3f")
RULE_BYTES = _WORDS.size
_RIDGE, _STEPS, _TOWER = 1, 2, 3


@dataclass(frozen=True)
class Ridge:
    """Weighted least squares: ``q`` minimises Σ weight[h] (v[h]·q - 1)² + penalty |q|² + q' matrix q.

    Found by conjugate gradients from 0, which need no dim x dim scratch. With a multiple of the items' Gram
    matrix as ``matrix`` it is the fold-in of implicit ALS (Hu, Koren, Volinsky, ICDM 2008, equation 4).

    Attributes:
        penalty: above 0; a float32.
        iterations: of conjugate gradients, 1 to 64.
    """

    penalty: float
    iterations: int

    def check(self, similarity: str) -> None:
        """Check the numbers.

        Raises:
            ConfigError: if one is outside its range.
        """
        del similarity
        if not 0 < np.float32(self.penalty) < np.inf or not 1 <= self.iterations <= MAX_SOLVE:
            raise ConfigError(
                f"fold-in by ridge needs a penalty above 0 and 1 to {MAX_SOLVE} iterations, not {self}"
            )


@dataclass(frozen=True)
class Steps:
    """Gradient steps of the sampled softmax, the training loss, on the one user's unit vector.

    From ``q = matrix @ sum`` at length 1, each step moves it by ``length`` (falling to 0 along a line) times
    the mean row of the history less ``pull`` times the softmax-weighted mean of a sample of the other rows.

    Attributes:
        count: steps, a power of two up to 16.
        rows: rows of the catalogue in the sample of a step, a power of two from 16 to 65,536: every fourth
            row of blocks of 64, which a device scores at once. Each step has others, and together they are
            spread over the whole catalogue.
        length: of the first step, above 0; a float32.
        sharpness: 1 / temperature, above 0 and at most 350; a float32.
        pull: weight of the other rows, above 0; a float32. 1 is the plain softmax, the bilateral one has its
            ratio of temperatures here.
    """

    count: int
    rows: int
    length: float
    sharpness: float
    pull: float = 1.0

    def check(self, similarity: str) -> None:
        """Check the numbers.

        Raises:
            ConfigError: if one is outside its range, or scores are no cosines.
        """
        if similarity != "cosine":
            raise ConfigError(
                f"fold-in by steps is for cosine, not for {similarity}; choose sum, matrix or ridge"
            )
        for name, number, most in (("steps", self.count, MAX_STEPS), ("rows", self.rows, MAX_SAMPLE)):
            if not 1 <= number <= most or number & (number - 1):
                raise ConfigError(f"fold-in {name} {number} is not a power of two of at most {most}")
        if self.rows < COMB_ROWS:
            raise ConfigError(f"fold-in rows {self.rows} is below {COMB_ROWS}")
        if not 0 < np.float32(self.length) < np.inf or not 0 < np.float32(self.sharpness) <= MAX_SHARPNESS:
            raise ConfigError(
                f"fold-in by steps needs a length above 0 and a sharpness above 0, at most"
                f" {MAX_SHARPNESS:g}, not {self.length} and {self.sharpness}"
            )
        if not 0 < np.float32(self.pull) < np.inf:
            raise ConfigError(f"fold-in by steps needs a pull above 0, not {self.pull}")

    def sample(self, step: int, n_items: int) -> NDArray[np.int64]:
        """Rows that a step looks at, int64[rows]; in increasing order, unless blocks repeat."""
        combs = self.rows // COMB_ROWS
        place = np.arange(combs, dtype=np.int64)[:, None] * self.count + step
        teeth = _BLOCK_ROWS // COMB_ROWS
        comb = place * (teeth * max(1, n_items // _BLOCK_ROWS)) >> (combs * self.count).bit_length() - 1
        lane = (comb % teeth + teeth * np.arange(COMB_ROWS)) % min(_BLOCK_ROWS, n_items)
        rows: NDArray[np.int64] = (comb // teeth * _BLOCK_ROWS + lane).ravel()
        return rows

    def step_length(self, step: int) -> float:
        """How far a step goes."""
        return float(np.float32(self.length)) * (self.count - step) / self.count


@dataclass(frozen=True, eq=False)
class FoldIn:
    """``q = matrix @ sum(weights[h] * row[h] for h in history)``, and what ``rule`` makes of it.

    Attributes:
        weights: float32[n_items], finite: what each item counts for in a history; None means 1 for all.
        matrix: float32[dim, dim], finite: applied to the sum, or part of the ridge; None means the identity,
            and in the ridge zero.
        rule: what follows the sum and the matrix (the ridge takes that in); None leaves it.
    """

    weights: NDArray[np.float32] | None = None
    matrix: NDArray[np.float32] | None = None
    rule: Ridge | Steps | Tower | None = None

    def check(self, n_items: int, dim: int, similarity: str) -> None:
        """Check shapes and values against a table.

        Raises:
            ConfigError: if a shape does not fit the table or a number is not finite or outside its range.
        """
        for name, array, shape in (
            ("weights", self.weights, (n_items,)),
            ("matrix", self.matrix, (dim, dim)),
        ):
            if array is None:
                continue
            if array.shape != shape:
                raise ConfigError(f"fold-in {name} has shape {array.shape}; this table needs {shape}")
            if not np.isfinite(array).all():
                raise ConfigError(f"fold-in {name} holds a number that is not finite; choose another rule")
        if isinstance(self.rule, Tower):
            self.rule.check(dim)
        elif self.rule is not None:
            self.rule.check(similarity)

    def reorder(self, order: NDArray[np.int64]) -> FoldIn:
        """The same rule for items in a new order: row ``i`` of the result is row ``order[i]`` of this."""
        return FoldIn(None if self.weights is None else self.weights[order], self.matrix, self.rule)

    @property
    def kind(self) -> str:
        """Name of the rule: sum, matrix, ridge, steps or tower."""
        if self.rule is not None:
            return type(self.rule).__name__.lower()
        return "sum" if self.matrix is None else "matrix"


def encode_rule(rule: Ridge | Steps | Tower) -> bytes:
    """The section of a rule (docs/format.md, "The fold-in rule"); of a tower the numbers stand apart."""
    if isinstance(rule, Tower):
        return _WORDS.pack(_TOWER, len(rule.layers), rule.hidden, 0.0, 0.0, 0.0)
    if isinstance(rule, Ridge):
        return _WORDS.pack(_RIDGE, rule.iterations, 0, rule.penalty, 0.0, 0.0)
    return _WORDS.pack(_STEPS, rule.count, rule.rows, rule.length, rule.sharpness, rule.pull)


def tower_numbers(data: bytes, dim: int) -> int:
    """How many numbers the tower of a rule's section has; 0 where it is none."""
    if len(data) != RULE_BYTES:
        return 0
    kind, count, hidden, *_ = _WORDS.unpack(data)
    return tower_size(count, hidden, dim) if kind == _TOWER else 0


def decode_rule(
    data: bytes, similarity: str, dim: int, numbers: NDArray[np.float32] | None = None
) -> Ridge | Steps | Tower:
    """The rule of a section.

    Args:
        data: the section.
        similarity: "cosine" or "dot".
        dim: width of the table.
        numbers: of a tower.

    Raises:
        ConfigError: if it is not as the format says.
    """
    if len(data) != RULE_BYTES:
        raise ConfigError(f"a fold-in rule has {RULE_BYTES} bytes, not {len(data)}")
    kind, count, rows, first, second, third = _WORDS.unpack(data)
    rule: Ridge | Steps
    if kind == _TOWER:
        if data[12:] != bytes(12) or numbers is None:
            raise ConfigError("a fold-in tower has a number where it has none, or lacks its layers")
        return Tower.from_array(count, rows, dim, numbers)
    if kind == _RIDGE:
        if rows or data[16:] != bytes(8):
            raise ConfigError("fold-in by ridge has a number where it has none")
        rule = Ridge(first, count)
    elif kind == _STEPS:
        rule = Steps(count, rows, first, second, third)
    else:
        raise ConfigError(f"fold-in rule {kind} is unknown")
    rule.check(similarity)
    return rule
