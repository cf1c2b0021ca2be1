"""WTA-CRS: an unbiased estimate of a matrix product from a few of its terms.

Liu, Wang, Zhong, Xu, Yang, Tang, Zha, Chen and Hu, "Winner-Take-All Column Row Sampling for Memory Efficient
Adaptation of Language Model" (arXiv 2305.15265). A product A B is the sum of columns of A times rows of B.
The terms of largest chance p_r ~ ‖A_:,r‖ ‖B_r,:‖ are taken as they are; of the others some are drawn in
proportion to p and weighted so that the mean is the whole sum.
"""

from __future__ import annotations

import torch
from torch import Tensor


def choose_terms(importance: Tensor, n_terms: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Terms to compute, and what each counts.

    With the chances p sorted, the first c are winners, c = argmin (1 - P_c) / (k - c), P_c their sum and k =
    ``n_terms``; the other k - c are drawn with replacement from the rest, each with weight
    (1 - P_c) / ((k - c) p_r).

    Args:
        importance: ‖A_:,r‖ ‖B_r,:‖ of each term up to a common factor, float[n], not negative.
        n_terms: terms to compute, at least 1; all are taken where there are no more.
        generator: on the CPU.

    Returns:
        Indices of terms int64[k], which may repeat, and their weights float[k].
    """
    n = importance.numel()
    total = importance.sum()
    if n_terms >= n or float(total) <= 0:
        return torch.arange(n, device=importance.device), torch.ones_like(importance)
    chance, order = torch.sort(importance / total, descending=True, stable=True)
    beyond = (1 - torch.cat([chance.new_zeros(1), chance.cumsum(0)[: n_terms - 1]])).clamp_(min=0)
    left = n_terms - torch.arange(n_terms, device=chance.device)
    winners = int((beyond / left).argmin())
    n_drawn = n_terms - winners
    rest = chance[winners:]
    if float(rest.sum()) <= 0:
        return order[:winners], torch.ones_like(chance[:winners])
    drawn = torch.multinomial(rest.cpu(), n_drawn, replacement=True, generator=generator).to(rest.device)
    weight = rest.sum() / (n_drawn * rest[drawn])
    return (
        torch.cat([order[:winners], order[winners + drawn]]),
        torch.cat([torch.ones_like(chance[:winners]), weight]),
    )
