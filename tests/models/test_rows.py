from __future__ import annotations

import pytest
import torch

from sparsedevice.models.rows import half_product


@pytest.mark.parametrize(("m", "k", "n"), [(3, 5, 2), (70, 128, 513), (256, 700, 33), (65, 64, 600)])
@pytest.mark.parametrize("transposed", [False, True])
def test_half_product_is_the_product_whatever_the_shape(m: int, k: int, n: int, transposed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(m, k, generator=generator)
    right = torch.randn(n, k, generator=generator).T if transposed else torch.randn(k, n, generator=generator)
    product = half_product(left, right)
    assert product.dtype == torch.float32
    torch.testing.assert_close(product, left @ right, rtol=0.02, atol=0.02 * k**0.5)


def test_a_slice_of_columns_multiplies_as_well() -> None:
    scores = torch.randn(70, 900)
    rows = torch.randn(600, 16)
    torch.testing.assert_close(
        half_product(scores[:, 200:800], rows), scores[:, 200:800] @ rows, rtol=0.02, atol=0.7
    )
