"""What graphs of standard operators do not compute, said in one place."""

from __future__ import annotations

from sparsedevice.errors import TargetError
from sparsedevice.packing import PackedFile, Ridge


def refuse_ridge(packed: PackedFile, target: str) -> None:
    """Refuse a file that folds histories in by ridge.

    Raises:
        TargetError: naming what to do.
    """
    if isinstance(packed.fold_in.rule, Ridge):
        raise TargetError(
            f"target {target!r} does not fold histories in by ridge; train with --fold-in sum, matrix or"
            f" steps, or export to '{target}-native', 'c', 'android' or 'web'"
        )
