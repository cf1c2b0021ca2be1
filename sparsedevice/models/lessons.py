"""What a teacher adds to the gradient of a step's item rows."""

from __future__ import annotations

from torch import Tensor

from sparsedevice.training.batches import Batch
from sparsedevice.training.optimizer import Table
from sparsedevice.training.teacher import Teacher, relation_gradient

Lesson = tuple[Tensor, Tensor]


def relation_lesson(teacher: Teacher, items: Table, rows: Tensor, batch: Batch, step: int) -> Lesson:
    """Gradient of the embedding loss for some of a step's items.

    It counts as much as the ranking loss of an average item: its mean over items is multiplied by the
    positives of the step per item and by the teacher's weight.

    Args:
        teacher: who teaches.
        items: the student's table.
        rows: the step's rows of it, int64[J].
        batch: the step.
        step: its number.

    Returns:
        places in ``rows`` int64[m], ascending, and float32[m, dim].
    """
    chosen, cosines = teacher.related(batch, step)
    chosen = chosen.to(rows.device)
    block = items.expand(items.active(rows[chosen]))
    scale = teacher.weight * len(batch.user) / len(batch.items)
    return chosen, relation_gradient(block, cosines, scale)


def add_lesson_(gradient: Tensor, lesson: Lesson | None, start: int) -> None:
    """Add a lesson to the gradient float32[r, dim] of the step's rows from ``start`` on."""
    if lesson is None:
        return
    chosen, taught = lesson
    inside = (chosen >= start) & (chosen < start + gradient.shape[0])
    gradient[chosen[inside] - start] += taught[inside]
