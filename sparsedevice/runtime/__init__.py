"""Recommending from a packed file."""

from __future__ import annotations

from sparsedevice.runtime.loading import load
from sparsedevice.runtime.recommender import Recommendations, Recommender

__all__ = ["Recommendations", "Recommender", "load"]
