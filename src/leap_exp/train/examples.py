"""From corrections to training rows: one row a trajectory, however many of its steps were corrected.

The student's own actions are the trunk of a row, for they are the history that later steps are decided on. Where the
teacher decided otherwise, its response hangs on the trunk as a branch that later tokens do not see. A row so holds
every step's prompt once, and gives the same loss as a row a step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from leap_exp.core.types import Correction, View, views
from leap_exp.prompts.codec import PromptCodec

IGNORED = -100
"""Target of a position that takes no part in the loss."""
TRUNK = -1
"""Branch of a token that lies on the trunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A packed trajectory; all tuples have one entry a token.

    Attributes:
        task_id: The trajectory's task.
        ids: Token ids.
        positions: Place of the token in the conversation it belongs to.
        targets: Id of the token to predict next, or IGNORED.
        branches: Step whose branch the token lies on, or TRUNK.
        steps: Step that the target belongs to, or IGNORED.
    """

    task_id: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]
    branches: tuple[int, ...]
    steps: tuple[int, ...]


class _RowBuilder:
    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._targets: list[int] = []
        self._branches: list[int] = []
        self._steps: list[int] = []
        self._trunk_length = 0
        self._trunk_end = -1
        self.extend_trunk(prompt_ids)

    def extend_trunk(self, ids: Sequence[int]) -> None:
        """Append what the student saw or did, without a target."""
        self._append(ids, first_position=self._trunk_length, branch=TRUNK)
        self._trunk_length += len(ids)
        self._trunk_end = len(self._ids) - 1

    def respond_on_trunk(self, response_ids: Sequence[int], step: int) -> None:
        """Append a response that is both the student's and the teacher's."""
        start = self._trunk_end
        self.extend_trunk(response_ids[:-1])
        self._set_targets([start, *range(start + 1, self._trunk_end + 1)], response_ids, step)

    def respond_on_branch(self, response_ids: Sequence[int], step: int) -> None:
        """Hang a response of the teacher's on the trunk."""
        first = len(self._ids)
        self._append(response_ids[:-1], first_position=self._trunk_length, branch=step)
        self._set_targets([self._trunk_end, *range(first, len(self._ids))], response_ids, step)

    def build(self, task_id: str) -> Row:
        """The row as it stands."""
        return Row(
            task_id=task_id,
            ids=tuple(self._ids),
            positions=tuple(self._positions),
            targets=tuple(self._targets),
            branches=tuple(self._branches),
            steps=tuple(self._steps),
        )

    def _append(self, ids: Sequence[int], *, first_position: int, branch: int) -> None:
        self._ids += ids
        self._positions += range(first_position, first_position + len(ids))
        self._targets += [IGNORED] * len(ids)
        self._branches += [branch] * len(ids)
        self._steps += [IGNORED] * len(ids)

    def _set_targets(self, places: Sequence[int], response_ids: Sequence[int], step: int) -> None:
        for place, target in zip(places, response_ids, strict=True):
            self._targets[place] = target
            self._steps[place] = step


def training_rows(correction: Correction, codec: PromptCodec, *, taught: frozenset[int] | None = None) -> Iterator[Row]:
    """The rows of a correction: one, or several where the prompt passes the length limit and drops turns.

    ``taught`` are the steps whose decisions become targets; None for all of them.
    """
    steps = list(enumerate(views(correction.trajectory)))
    chosen = frozenset(range(len(steps))) if taught is None else taught
    for first_kept, group in groupby(steps, key=lambda step: codec.first_kept(step[1])):
        yield _row(correction, codec, list(group), first_kept, chosen)


def new_lessons(correction: Correction) -> frozenset[int]:
    """The steps at which the teacher says something that it has not said in this trajectory before.

    A student that ignores a correction is told the same at every later step: go back to where the mug was. Weighed by
    how often they are said, such lessons drown all others. A changed action counts as said once it was demanded, an
    unchanged one once it was approved on the same observation.
    """
    said: set[tuple[str, str]] = set()
    new: list[int] = []
    for index, (step, decision) in enumerate(zip(correction.trajectory.steps, correction.decisions, strict=True)):
        place = "" if correction.changed[index] else step.observation.text
        if (place, decision.action) not in said:
            said.add((place, decision.action))
            new.append(index)
    return frozenset(new)


def _row(
    correction: Correction,
    codec: PromptCodec,
    steps: Sequence[tuple[int, View]],
    first_kept: int,
    taught: frozenset[int],
) -> Row:
    builder = _RowBuilder(codec.encode_prompt(steps[0][1], first_kept=first_kept))
    last_index = steps[-1][0]
    for index, view in steps:
        if index > steps[0][0]:
            builder.extend_trunk(codec.text_ids(codec.renderer.turn(view.task, view.observation)))
        taken_ids = codec.response_ids(correction.trajectory.steps[index].decision)
        taught_ids = codec.response_ids(correction.decisions[index])
        if index in taught and taught_ids == taken_ids:
            builder.respond_on_trunk(taught_ids, index)
        else:
            if index in taught:
                builder.respond_on_branch(taught_ids, index)
            if index < last_index:
                builder.extend_trunk(taken_ids[:-1])
        if index < last_index:
            builder.extend_trunk(codec.after_response_ids)
    return builder.build(correction.trajectory.task.id)
