"""The scripted expert of ScienceWorld, which knows the gold path and uses it as the disclosure allows."""

from collections.abc import Callable, Sequence
from functools import cached_property
from random import Random

from leap_exp.core.environments import Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, View
from leap_exp.envs.disclosure import may_reveal
from leap_scienceworld.teaching.expert import expert_action, is_sound
from leap_scienceworld.teaching.gold import GoldPath, GoldStep
from leap_scienceworld.teaching.memory import Memory, recall
from leap_scienceworld.teaching.reasons import explain, reveal
from leap_scienceworld.teaching.words import closest, harmless, step_towards, things_of

_LOOKAHEAD = 3
"""How many steps of the gold path may be left out, if the next one is impossible."""


class ScienceWorldOracle(Oracle):
    """The scripted expert for one variation.

    Args:
        gold_path: Returns its gold path; called when it is first needed, because that takes seconds.
    """

    def __init__(self, gold_path: Callable[[], GoldPath]) -> None:
        self._gold_path = gold_path

    @cached_property
    def _path(self) -> GoldPath:
        return self._gold_path()

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best action in ``view`` under ``disclosure``, with a reason.

        - NONE: the action of the expert that knows only the history.
        - P25: the same, but this expert first goes to the room where the gold path goes on.
        - From P50: the gold path, as long as the student is on it. Otherwise the way to the room of its next step that
          is not done, and that step. The reason says where the next thing is, or which it is, sometimes at P75 and
          always at P100, as long as the history has not shown it.

        At NONE and P25 the student's action ``taken`` is kept if it is as good, judging by the history.
        """
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            first = self._next_room(view) if disclosure is Disclosure.P25 else ""
            action = taken if taken is not None and is_sound(view, taken) else expert_action(view, first=first)
            return Decision(reason=explain(action, rng=rng), action=action)
        memory = recall(view)
        action, step = self._best(view, memory)
        if step is not None and may_reveal(disclosure, rng):
            thing = next((each for each in things_of(step.action) if each not in memory.shown), "")
            if thing:
                room = step.room if step.room != memory.room else ""
                return Decision(reason=reveal(action, thing=thing, room=room, rng=rng), action=action)
        return Decision(reason=explain(action, rng=rng), action=action)

    def _best(self, view: View, memory: Memory) -> tuple[str, GoldStep | None]:
        """Return the next action, and the step of the gold path that it leads to; None if there is none left."""
        actions = view.observation.admissible_actions or ()
        if self._follows(memory):
            step = self._path.steps[len(memory.actions)]
            if step.action in actions:
                return step.action, self._coming(len(memory.actions))
        left = self._left(memory)
        for step in left[:_LOOKAHEAD]:
            if step.room != memory.room:
                if towards := step_towards(actions, memory.room, step.room):
                    return towards, step
            elif same := closest(step.action, actions):
                return same, step
        # What is under way may still finish.
        return harmless(actions), None

    def _follows(self, memory: Memory) -> bool:
        """Return whether the student has taken the actions of the gold path, and no others, and not all of them."""
        taken = len(memory.actions)
        steps = self._path.steps
        return taken < len(steps) and all(step.action == action for step, action in zip(steps, memory.actions))  # noqa: B905 - the path goes on

    def _coming(self, index: int) -> GoldStep | None:
        """Return the first essential step from ``index`` on."""
        essential = set(self._path.essential)
        return next((step for step in self._path.steps[index:] if step in essential), None)

    def _left(self, memory: Memory) -> Sequence[GoldStep]:
        """Return the essential steps that the student has not taken, in order."""
        steps = self._path.essential
        done = 0
        for action, room in zip(memory.actions, memory.rooms, strict=False):
            if done < len(steps) and room == steps[done].room and closest(steps[done].action, [action]):
                done += 1
        return steps[done:]

    def _next_room(self, view: View) -> str:
        left = self._left(recall(view))
        return left[0].room if left else ""
