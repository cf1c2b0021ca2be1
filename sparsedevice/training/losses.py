"""The losses of matrix factorisation by name, each fused: scores go in, their gradient comes out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsedevice.training.config import TrainConfig
from sparsedevice.training.softmax import softmax_loss_

# Items that BPR compares the positives of a user with.
BPR_ITEMS = 64
# Positives compared at a time, so that the comparisons stay in the cache.
POSITIVES_PER_BLOCK = 4096


@dataclass(frozen=True)
class Loss:
    """A loss with its settings.

    Attributes:
        name: "softmax", "bsl", "bpr" or "ccl".
        temperature: divides the scores; not read by "ccl".
        temperature2: of "bsl".
        margin: of "ccl".
        negative_weight: of "ccl".
        seed: of the items that "bpr" draws.
    """

    name: str
    temperature: float
    temperature2: float | None
    margin: float | None
    negative_weight: float | None
    seed: int

    @classmethod
    def of(cls, config: TrainConfig) -> Loss:
        """The loss that resolved settings ask for."""
        assert config.loss is not None
        assert config.temperature is not None
        return cls(
            config.loss,
            config.temperature,
            config.temperature2,
            config.margin,
            config.negative_weight,
            config.seed,
        )

    def __call__(
        self, scores: Tensor, user: Tensor, column: Tensor, log_inclusion: Tensor, *, step: int
    ) -> float:
        """Sum over the positives; ``scores`` is overwritten by the gradient, up to one common factor.

        Args:
            scores: cosines, float32[U, J].
            user: row of each positive, int64[P], ascending.
            column: column of each positive, int64[P]; no pair repeats.
            log_inclusion: log of the probability that an item is among the J, float32[J].
            step: number of the step; randomness is a function of it and the seed.
        """
        if self.name == "bpr":
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
            chance = torch.exp(-log_inclusion).cpu()
            n_drawn = BPR_ITEMS * scores.shape[0]
            drawn = torch.multinomial(chance, n_drawn, replacement=True, generator=generator)
            drawn = drawn.view(-1, BPR_ITEMS).to(scores.device)
            return bpr_loss_(scores, user, column, drawn, temperature=self.temperature)
        if self.name == "ccl":
            assert self.margin is not None
            assert self.negative_weight is not None
            return ccl_loss_(
                scores, user, column, log_inclusion, margin=self.margin, weight=self.negative_weight
            )
        return softmax_loss_(
            scores,
            user,
            column,
            log_inclusion,
            temperature=self.temperature,
            temperature2=self.temperature2 if self.name == "bsl" else None,
        )


def bpr_loss_(scores: Tensor, user: Tensor, column: Tensor, drawn: Tensor, *, temperature: float) -> float:
    """Bayesian personalised ranking (Rendle et al., arXiv 1205.2618), with items drawn for each user.

    Each positive i of user u costs the mean of log(1 + exp((s_uj - s_ui) / temperature)) over u's drawn
    items j that she has not chosen. Drawn in proportion to 1/π from a sample in which an item is with
    probability π, they are uniform over the catalogue, as in the paper.

    Args:
        scores: float32[U, J]; becomes d loss / d (scores / temperature).
        user: row of each positive, int64[P], ascending.
        column: column of each positive, int64[P]; no pair repeats.
        drawn: columns to compare the positives of each user with, int64[U, m]; may repeat.
        temperature: divides the scores.

    Returns:
        The summed loss of all positives, in nats.
    """
    positive = scores[user, column] / temperature
    free = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    free[user, column] = False
    free_drawn = free.gather(1, drawn).to(scores.dtype)
    free_drawn /= free_drawn.sum(1, keepdim=True).clamp_(min=1)
    negative = scores.gather(1, drawn) / temperature
    slope_negative = torch.zeros_like(negative)
    slope_positive = torch.empty_like(positive)
    loss = 0.0
    for start in range(0, user.numel(), POSITIVES_PER_BLOCK):
        block = slice(start, start + POSITIVES_PER_BLOCK)
        behind = negative[user[block]] - positive[block, None]
        weight = free_drawn[user[block]]
        loss += float((torch.nn.functional.softplus(behind) * weight).sum())
        slope = behind.sigmoid_().mul_(weight)
        slope_positive[block] = -slope.sum(1)
        slope_negative.index_add_(0, user[block], slope)
    scores.zero_()
    scores.scatter_add_(1, drawn, slope_negative)
    scores[user, column] = slope_positive
    return loss


def ccl_loss_(
    scores: Tensor, user: Tensor, column: Tensor, log_inclusion: Tensor, *, margin: float, weight: float
) -> float:
    """Cosine contrastive loss (Mao et al., SimpleX, arXiv 2109.12613) with the step's sample as negatives.

    Each positive i of user u costs (1 - s_ui) + weight · mean over j of max(0, s_uj - margin), the mean over
    all items that u has not chosen. It is estimated from the sample, each item counting 1/π, divided by the
    sum of these weights.

    Args:
        scores: cosines, float32[U, J]; become d loss / d scores.
        user: row of each positive, int64[P].
        column: column of each positive, int64[P]; no pair repeats.
        log_inclusion: log π of each item, float32[J].
        margin: negatives that score lower cost nothing.
        weight: of the negatives against the positive.

    Returns:
        The summed loss of all positives.
    """
    inverse = torch.exp(-log_inclusion)
    positive = scores[user, column]
    share = torch.full_like(scores[:, 0], float(inverse.sum())).index_add_(0, user, -inverse[column])
    count = torch.bincount(user, minlength=scores.shape[0]).to(scores.dtype)
    factor = weight * count / share.clamp_(min=1e-6)
    scores -= margin
    scores[user, column] = 0.0
    scores.clamp_(min=0)
    loss = float((1 - positive).sum() + ((scores @ inverse) * factor).sum())
    scores.sign_()
    scores *= inverse
    scores *= factor[:, None]
    scores[user, column] = -1.0
    return loss
