"""DLRM (Naumov et al., arXiv 1906.00091): embeddings and numbers meet in pairwise dot products."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear, relu

from sparsedevice.data.clicks import Clicks, ClickSchema
from sparsedevice.models.parameters import Parameters
from sparsedevice.training.optimizer import Table

CONSTANT = "constant"


class Bags(NamedTuple):
    """The categories of some rows of a log.

    Attributes:
        rows: distinct rows of the embedding table, int64[r], ascending.
        places: into ``rows``, int64[m], example by example and field by field.
        offsets: first entry in ``places`` of each example and field, int64[n * fields].
        occurrences: how often each of ``rows`` is in ``places``, int64[r].
    """

    rows: Tensor
    places: Tensor
    offsets: Tensor
    occurrences: Tensor


class Macs(NamedTuple):
    """Multiply-accumulate operations of one example, at the present width of every matrix."""

    inference: int
    training: int


class DLRM:
    """One embedding table for all fields, a bottom MLP for the numbers, dot products, a top MLP.

    A field's embedding is the mean of its categories' rows. The bottom MLP ends at the width of the
    embeddings. Where a log has no numbers a learnt vector stands for its output, so that its products with
    the embeddings are the fields' own terms. The top MLP reads that vector and the product of each pair of
    vectors.

    Attributes:
        table: rows of all fields, float32 (schema.n_rows x dim), sparse or dense.
        parameters: ``bottom.N.weight`` [out, in] and ``.bias`` [out], ``top.N.…``, or ``constant`` [dim].
    """

    def __init__(self, schema: ClickSchema, table: Table, parameters: Parameters) -> None:
        self.schema = schema
        self.table = table
        self.parameters = parameters
        self._slots = [field.slots for field in schema.categories]
        self._n_fields = len(schema.categories)
        pairs = torch.tril_indices(self._n_fields + 1, self._n_fields + 1, offset=-1, device=table.device)
        self._pair_rows, self._pair_columns = pairs[0], pairs[1]
        starts = torch.tensor(self._slots).cumsum(0)[:-1]
        self._first_slots = torch.cat([starts.new_zeros(1), starts])

    def bags(self, part: Clicks, examples: Tensor) -> Bags:
        """The categories of ``examples`` (int64[n]) of a part of the log."""
        slots = torch.from_numpy(part.rows)[examples]
        if slots.shape[1] == self._n_fields:
            flat = slots.reshape(-1)
            offsets = torch.arange(flat.numel())
        else:
            used = slots >= 0
            flat = slots[used]
            lengths = torch.stack(
                [chunk.sum(1) for chunk in torch.split(used, self._slots, dim=1)], dim=1
            ).view(-1)
            offsets = lengths.cumsum(0) - lengths
        rows, places, occurrences = torch.unique(flat, return_inverse=True, return_counts=True)
        device = self.table.device
        return Bags(rows.long().to(device), places.to(device), offsets.to(device), occurrences.to(device))

    def logits(self, block: Tensor, bags: Bags, numbers: Tensor, values: dict[str, Tensor]) -> Tensor:
        """Log-odds of a click of each example.

        Args:
            block: the table's ``bags.rows`` as a dense block, float32[r, dim].
            bags: the examples' categories.
            numbers: their numbers, float32[n, number of numeric fields].
            values: the parameters' values, which may ask for gradients.

        Returns:
            float32[n].
        """
        n = numbers.shape[0]
        pooled = embedding_bag(bags.places, block, bags.offsets, mode="mean").view(n, self._n_fields, -1)
        if CONSTANT in values:
            bottom = values[CONSTANT].expand(n, -1)
        else:
            bottom = _tower(numbers, "bottom", values, last_relu=True)
        vectors = torch.cat([bottom[:, None], pooled], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))[:, self._pair_rows, self._pair_columns]
        return _tower(torch.cat([bottom, products], dim=1), "top", values, last_relu=False).squeeze(1)

    def score(self, part: Clicks, batch_rows: int = 1024) -> Tensor:
        """Log-odds of a click of every row of a part, float32[n]; only a batch's table rows are expanded."""
        out = []
        with torch.inference_mode():
            for examples in torch.split(torch.arange(len(part)), batch_rows):
                bags = self.bags(part, examples)
                block = self.table.expand(self.table.active(bags.rows))
                numbers = torch.from_numpy(part.numbers)[examples].to(self.table.device)
                out.append(self.logits(block, bags, numbers, self.parameters.values).cpu())
        return torch.cat(out)

    def macs(self) -> Macs:
        """Operations of one example.

        Inference: each weight of the towers once, and the width for each pair of vectors. Training: that, and
        as much again for the gradients of the weights and of the inputs (for a product, of both vectors), but
        nothing for the gradient of the numbers. Optimiser and pooling are left out.
        """
        weights = {name: v.numel() for name, v in self.parameters.values.items() if name.endswith("weight")}
        products = self._pair_rows.numel() * self.table.dim
        inference = sum(weights.values()) + products
        return Macs(inference, 3 * inference - weights.get("bottom.0.weight", 0))


def layer_names(values: dict[str, Tensor], tower: str) -> list[str]:
    """Names of a tower's layers, first to last."""
    return [f"{tower}.{n}" for n in range(sum(f"{tower}.{k}.weight" in values for k in range(len(values))))]


def new_parameters(
    schema: ClickSchema,
    dim: int,
    bottom: tuple[int, ...],
    top: tuple[int, ...],
    generator: torch.Generator,
    device: str,
) -> Parameters:
    """Towers with He's initial values (arXiv 1502.01852), biases zero."""
    n_vectors = len(schema.categories) + 1
    sizes = {"top": (dim + n_vectors * (n_vectors - 1) // 2, *top, 1)}
    values: dict[str, Tensor] = {}
    if schema.numbers:
        sizes = {"bottom": (len(schema.numbers), *bottom, dim), **sizes}
    else:
        values[CONSTANT] = 0.1 * torch.randn(dim, generator=generator)
    for tower, widths in sizes.items():
        for n, (n_in, n_out) in enumerate(pairwise(widths)):
            values[f"{tower}.{n}.weight"] = torch.randn(n_out, n_in, generator=generator) * (2 / n_in) ** 0.5
            values[f"{tower}.{n}.bias"] = torch.zeros(n_out)
    return Parameters({name: value.to(device) for name, value in values.items()})


def _tower(x: Tensor, tower: str, values: dict[str, Tensor], *, last_relu: bool) -> Tensor:
    names = layer_names(values, tower)
    for name in names:
        x = linear(x, values[f"{name}.weight"], values[f"{name}.bias"])
        if last_relu or name != names[-1]:
            x = relu(x)
    return x
