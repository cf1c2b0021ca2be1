"""The machines that a bundle can be measured on, behind one interface."""

from __future__ import annotations

from sparsedevice.bench.machines.base import Machine
from sparsedevice.bench.machines.open import MACHINES, open_machine

__all__ = ["MACHINES", "Machine", "open_machine"]
