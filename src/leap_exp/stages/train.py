"""Train: split corrections by task, and fit the next student."""

from collections.abc import Sequence

from leap_exp.core.seeding import derive_seed
from leap_exp.core.sequences import Selected
from leap_exp.core.types import Correction, Task


def is_held_out(task: Task, share: float) -> bool:
    """Return whether ``task`` belongs to the ``share`` kept for validation: decided by its id, in every round alike."""
    return derive_seed(0, "validation", task.id) % 10_000 < share * 10_000


def split(corrections: Sequence[Correction], share: float) -> tuple[Sequence[Correction], Sequence[Correction]]:
    """Return the corrections to train on and those to validate on; a task is always on the same side."""
    train: list[int] = []
    validation: list[int] = []
    for place, correction in enumerate(corrections):
        (validation if is_held_out(correction.trajectory.task, share) else train).append(place)
    return Selected.of(corrections, train), Selected.of(corrections, validation)
