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
        targets: Id of the token to predict next, or IGNORED. Where an action leaves no choice there is no target.
        options: Ids that the target is chosen among; empty for the whole vocabulary.
        branches: Step whose branch the token lies on, or TRUNK.
        steps: Step that the target belongs to, or IGNORED.
    """

    task_id: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    branches: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Response:
    """The ids of a response, and what each was chosen among."""

    ids: tuple[int, ...]
    options: Sequence[tuple[int, ...]]


class _RowBuilder:
    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._positions: list[int] = []
        self._targets: list[int] = []
        self._options: list[tuple[int, ...]] = []
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

    def respond_on_trunk(self, response: _Response, step: int) -> None:
        """Append a response that is both the student's and the teacher's."""
        start = self._trunk_end
        self.extend_trunk(response.ids[:-1])
        self._set_targets([start, *range(start + 1, self._trunk_end + 1)], response, step)

    def respond_on_branch(self, response: _Response, step: int) -> None:
        """Hang a response of the teacher's on the trunk, up to its last target: no other token sees what follows."""
        first = len(self._ids)
        length = 1 + max((place for place, options in enumerate(response.options) if len(options) != 1), default=0)
        self._append(response.ids[: length - 1], first_position=self._trunk_length, branch=step)
        kept = _Response(response.ids[:length], response.options[:length])
        self._set_targets([self._trunk_end, *range(first, len(self._ids))], kept, step)

    def build(self, task_id: str) -> Row:
        """The row as it stands."""
        return Row(
            task_id=task_id,
            ids=tuple(self._ids),
            positions=tuple(self._positions),
            targets=tuple(self._targets),
            options=tuple(self._options),
            branches=tuple(self._branches),
            steps=tuple(self._steps),
        )

    def _append(self, ids: Sequence[int], *, first_position: int, branch: int) -> None:
        self._ids += ids
        self._positions += range(first_position, first_position + len(ids))
        self._targets += [IGNORED] * len(ids)
        self._options += [()] * len(ids)
        self._branches += [branch] * len(ids)
        self._steps += [IGNORED] * len(ids)

    def _set_targets(self, places: Sequence[int], response: _Response, step: int) -> None:
        for place, target, options in zip(places, response.ids, response.options, strict=True):
            if len(options) != 1:
                self._targets[place] = target
                self._options[place] = options
                self._steps[place] = step


def training_rows(correction: Correction, codec: PromptCodec, *, taught: frozenset[int] | None = None) -> Iterator[Row]:
    """The rows of a correction: one, or several where the prompt passes the length limit and drops turns.

    ``taught`` are the steps whose decisions become targets; None for all of them. A row ends with its last target: what
    comes later is history that nothing is decided on.
    """
    steps = list(enumerate(views(correction.trajectory)))
    chosen = frozenset(range(len(steps))) if taught is None else taught
    for first_kept, group in groupby(steps, key=lambda step: codec.first_kept(step[1])):
        part = list(group)
        last = max((index for index, _ in part if index in chosen), default=-1)
        if kept := [(index, view) for index, view in part if index <= last]:
            yield _row(correction, codec, kept, first_kept, chosen)


def taught_steps(correction: Correction, mistakes: int | None) -> frozenset[int]:
    """The steps up to the ``mistakes``-th that the teacher changed; all of them if ``mistakes`` is None.

    A student that has gone astray goes on astray: late steps lie in states that no better student will see, and their
    corrections say over and over to go back. The first mistakes are those that a better student has to avoid.
    """
    changed = [index for index, is_changed in enumerate(correction.changed) if is_changed]
    if mistakes is None or len(changed) < mistakes:
        return frozenset(range(len(correction.changed)))
    return frozenset(range(changed[mistakes - 1] + 1))


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
        response = _Response(taught_ids, codec.response_options(view.observation, correction.decisions[index]))
        if index in taught and taught_ids == taken_ids:
            builder.respond_on_trunk(response, index)
        else:
            if index in taught:
                builder.respond_on_branch(response, index)
            if index < last_index:
                builder.extend_trunk(taken_ids[:-1])
        if index < last_index:
            builder.extend_trunk(codec.after_response_ids)
    return builder.build(correction.trajectory.task.id)
