"""Softmax over a sampled catalogue, for whole users at a time, with its gradient written by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsedevice.sparse import _kernels
from sparsedevice.sparse.threads import in_parts


def softmax_loss_(
    scores: Tensor,
    user: Tensor,
    column: Tensor,
    log_inclusion: Tensor,
    *,
    temperature: float,
    temperature2: float | None = None,
) -> float:
    """Loss of all positives of a batch of users; ``scores`` is overwritten by the gradient.

    For a user with positives P, sampled items J and ``s`` = score / temperature, each positive p costs

        -s_p + log( exp(s_p) + Z ),  Z = Σ_{j in J, j not in P} exp(s_j) / π_j

    which is the sampled softmax (SL) loss on the positive and the catalogue. π_j is the probability that item
    j is among the sampled ones, so Z estimates (Horvitz-Thompson) the sum over all items that the user has
    not chosen; it is unbiased as far as π is exact (see ``UserBatches``), its logarithm is not. With
    ``temperature2`` = t2 it is the bilateral softmax loss (BSL, Wu et al.): -s_p + t2 · log Z, in which the
    positive is no longer part of the sum and the negatives have their own weight.

    All positives of a user share Z, so a batch of users costs one product users x items, not positives x
    items.

    Args:
        scores: float32[U, J], not divided by the temperature; becomes d loss / d scores (not divided by the
            temperature).
        user: row in ``scores`` of each positive, int64[P], ascending.
        column: column in ``scores`` of each positive, int64[P]; no pair repeats.
        log_inclusion: log π_j, float32[J].
        temperature: tau of the softmax.
        temperature2: BSL's ratio tau1 / tau2 (published settings: 1.06 to 1.22), or None for the plain
            softmax.

    Returns:
        The summed loss of all positives, in nats.
    """
    if scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.is_contiguous():
        return _rows_in_c_(scores, user, column, log_inclusion, temperature, temperature2)
    return _rows_in_torch_(scores, user, column, log_inclusion, temperature, temperature2)


def _rows_in_c_(
    scores: Tensor,
    user: Tensor,
    column: Tensor,
    log_inclusion: Tensor,
    temperature: float,
    temperature2: float | None,
) -> float:
    """Row by row, which stays in the processor's cache (``sparse/csrc/sd_softmax.h``)."""
    n_users = scores.shape[0]
    starts = torch.searchsorted(user, torch.arange(n_users + 1))
    top, rest, positive = torch.empty(n_users), torch.empty(n_users), torch.empty(user.numel())
    tops, rests, positives, first = (tensor.numpy() for tensor in (top, rest, positive, starts))
    all_scores, columns, log_inclusions = scores.numpy(), column.numpy(), log_inclusion.numpy()

    def part(start: int, stop: int) -> None:
        own = slice(start, stop)
        chosen = slice(first[start], first[stop])
        _kernels.softmax_rows(
            all_scores[own],
            log_inclusions,
            first[start : stop + 1] - first[start],
            columns[chosen],
            temperature,
            temperature2 or 0.0,
            tops[own],
            rests[own],
            positives[chosen],
        )

    in_parts(n_users, part)
    if temperature2 is not None:
        return float((temperature2 * (rest.log() + top)[user] - positive).sum())
    shifted = positive - top[user]
    return float(((shifted.exp() + rest[user]).log() - shifted).sum())


def _rows_in_torch_(
    scores: Tensor,
    user: Tensor,
    column: Tensor,
    log_inclusion: Tensor,
    temperature: float,
    temperature2: float | None,
) -> float:
    scores /= temperature
    positive = scores[user, column]
    top = scores.amax(1)
    scores -= top[:, None]
    scores -= log_inclusion
    scores[user, column] = -torch.inf
    scores.exp_()
    rest = scores.sum(1)
    shifted = positive - top[user]
    if temperature2 is not None:
        rest.clamp_(min=1e-30)
        loss = (temperature2 * (rest.log()[user] + top[user]) - positive).sum()
        count = torch.bincount(user, minlength=scores.shape[0]).to(scores.dtype)
        scores *= (temperature2 * count / rest)[:, None]
        scores[user, column] = -1.0
        return float(loss)
    own = shifted.exp()
    total = own + rest[user]
    loss = (total.log() - shifted).sum()
    weight = torch.zeros_like(rest).index_add_(0, user, 1 / total)
    scores *= weight[:, None]
    scores[user, column] = own / total - 1
    return float(loss)
