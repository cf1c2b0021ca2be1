"""Bytes that training holds for the model, counted from its tensors."""

from __future__ import annotations

from typing import Any

from sparsedevice.models.rows import Model


class MemoryAccount:
    """The peak of tables, optimiser state and method state over training.

    Attributes:
        peak: bytes by part at the moment of the largest total.
    """

    def __init__(self, prior: int = 0) -> None:
        """Start with ``prior`` bytes that a refresh holds of what was learnt before."""
        self.peak: dict[str, int] = {}
        self._prior = prior

    def look(self, model: Model) -> None:
        """Count all tensors as they are now."""
        now = {name: table.nbytes() for name, table in model.tables.items()}
        now["model"] = sum(tensor.numel() * tensor.element_size() for tensor in model.state().values())
        now["method"] = sum(mover.nbytes() for mover in model.movers.values())
        if self._prior:
            now["prior"] = self._prior
        if sum(now.values()) > sum(self.peak.values()):
            self.peak = now

    def report(self, model: Model, dim: int, needs: str) -> dict[str, Any]:
        """The peak against dense float32 weights with Adam's two moments, 12 bytes an entry.

        Args:
            model: whose tables count.
            dim: width of the tables when full.
            needs: what the method keeps in memory beside the active entries; "" where nothing.
        """
        dense = 12 * dim * sum(table.n_rows for table in model.tables.values())
        peak = sum(self.peak.values())
        found = {
            "peak_bytes": peak,
            "dense_bytes": dense,
            "share_of_dense": peak / dense,
            "parts": dict(self.peak),
        }
        return {**found, "needs": needs} if needs else found
