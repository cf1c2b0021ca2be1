"""Row-sparse Adam: only the active entries of the rows that a step touched are read or written."""

from __future__ import annotations

from typing import Protocol

import scipy.sparse
import torch
from torch import Tensor

from sparsedevice.sparse.active import Active
from sparsedevice.sparse.table import GradientHook


class Table(Protocol):
    """What training needs of a table; ``SparseTable`` and ``DenseTable`` both offer it."""

    n_rows: int
    dim: int
    power: float
    values: Tensor
    first: Tensor
    second: Tensor
    updates: Tensor
    gradient_hook: GradientHook | None

    @property
    def nnz(self) -> int: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    def active(self, rows: Tensor) -> Active: ...  # noqa: D102
    def expand(self, active: Active) -> Tensor: ...  # noqa: D102
    def to_csr(self) -> scipy.sparse.csr_array: ...  # noqa: D102
    def state(self) -> dict[str, Tensor]: ...  # noqa: D102
    def load_state(self, state: dict[str, Tensor]) -> None: ...  # noqa: D102
    def nbytes(self) -> int: ...  # noqa: D102


def update_rows(
    table: Table,
    active: Active,
    gradient: Tensor,
    lr: float,
    *,
    unit_rows: bool,
    beta1: float = 0.9,
    beta2: float = 0.99,
) -> None:
    """One Adam step on the active entries of some rows.

    After Kingma and Ba (arXiv 1412.6980) with two changes. The second moment is one number a row, of the
    row's gradient norm (as in row-wise Adagrad for embedding tables), so ``lr`` is the length of a step and
    means the same at every width and fan-in. Bias is corrected by the row's own count of updates, since rows
    are touched unequally often. With ``unit_rows`` the gradient is projected onto the tangent of the unit
    sphere within the row's active entries, and the row is scaled back to length 1 after the step: the cosine
    loss is then a plain product of rows. A table with ``power`` > 1 steps on θ (see ``_to_theta``).

    Args:
        table: updated in place.
        active: the entries of the rows; a row must not repeat.
        gradient: dense gradient of those rows, float32[r, dim]; read at the active entries only.
        lr: length of a step when gradients agree.
        unit_rows: keep each row on the unit sphere.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
    """
    grad = active.of_block(gradient)
    update_entries(table, active, grad, lr, unit_rows=unit_rows, beta1=beta1, beta2=beta2)


def update_entries(
    table: Table,
    active: Active,
    grad: Tensor,
    lr: float,
    *,
    unit_rows: bool,
    beta1: float = 0.9,
    beta2: float = 0.99,
) -> None:
    """``update_rows`` with the gradient of the active entries alone, float32[m]; it is overwritten."""
    value = active.take(table.values)
    if unit_rows:
        grad -= active.per_entry(active.row_sum(grad * value)) * value
    if table.power > 1:
        value, slope, length = _to_theta(value, active, table.power)
        grad *= slope
    moment = active.take(table.first).mul_(beta1).add_(grad, alpha=1 - beta1)
    second = table.second[active.rows].mul_(beta2).add_(active.row_sum(grad * grad), alpha=1 - beta2)
    count = table.updates[active.rows] + 1
    active.put(table.first, moment)
    table.second[active.rows] = second
    table.updates[active.rows] = count
    exponent = count.to(torch.float32)
    norm = (second / (1 - beta2**exponent)).sqrt_().add_(1e-12)
    scale = lr / ((1 - beta1**exponent) * norm)
    if table.power > 1:
        value -= active.per_entry(scale * length) * moment
        value = value.sign() * value.abs().pow_(table.power)
    else:
        value -= active.per_entry(scale) * moment
    if unit_rows:
        value /= active.per_entry(active.row_sum(value * value).sqrt_().clamp_(min=1e-12))
    active.put(table.values, value)


def _to_theta(value: Tensor, active: Active, power: float) -> tuple[Tensor, Tensor, Tensor]:
    """Powerpropagation's parameters θ = sign(w) |w|^(1 / power) (Schwarz et al., arXiv 2110.00296).

    dw/dθ = power |θ|^(power - 1): large entries move faster. It is 0 at θ = 0, where an entry that was just
    activated would stay for ever; so |θ| counts a tenth of its row's root mean square there at least (ours).

    Returns:
        θ float32[m], dw/dθ float32[m], and the length of θ of each row float32[r], by which a step's length
        is measured.
    """
    theta = value.sign() * value.abs().pow_(1 / power)
    squares = active.row_sum(theta * theta)
    count = active.row_sum(torch.ones_like(theta)).clamp_(min=1)
    least = active.per_entry(0.1 * (squares / count).sqrt())
    return theta, power * theta.abs().maximum(least).pow_(power - 1), squares.sqrt()


def normalise_rows(table: Table, rows: Tensor) -> None:
    """Scale ``rows`` (int64[r]) to length 1; an all-zero row stays zero."""
    active = table.active(rows)
    value = active.take(table.values)
    value /= active.per_entry(active.row_sum(value * value).sqrt_().clamp_(min=1e-12))
    active.put(table.values, value)
