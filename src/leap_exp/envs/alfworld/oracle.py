"""The scripted expert of one game, which uses and discloses what it knows as the disclosure allows."""

import math
from collections.abc import Mapping, Sequence
from random import Random

from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, View
from leap_exp.envs.alfworld.errand import read_errand
from leap_exp.envs.alfworld.expert import expert_action, is_sound
from leap_exp.envs.alfworld.facts import holder
from leap_exp.envs.alfworld.fast import World
from leap_exp.envs.alfworld.game import Action, Game
from leap_exp.envs.alfworld.memory import kind_of, recall, seen_names
from leap_exp.envs.alfworld.planner import plan_commands, shortest_plan
from leap_exp.envs.alfworld.reasons import disclose, explain

P75_SHARE = 0.25
"""How often a reason at P75 names what is hidden, where something is."""


class AlfworldOracle:
    """Decides for the views of ``game``; an ``Oracle``."""

    def __init__(self, game: Game) -> None:
        self._game = game

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """The best action in ``view`` under ``disclosure``, with a reason.

        At NONE it is the history-only expert's. At P25 that expert searches the kind of place first where the object
        is. Both leave what the student has ``taken`` if that is sound as far as the history tells. From P50 on it is
        the first action of a shortest plan; the reason names what is hidden now and then at P75 and whenever there is
        something to name at P100. Where a game cannot be won any more, it goes on as at NONE.
        """
        memory, errand = recall(view), read_errand(view.task.instruction)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25) and taken is not None and is_sound(view, taken):
            return Decision(reason=explain(memory, errand, taken, rng=rng), action=taken)
        if disclosure is Disclosure.NONE:
            action = expert_action(view)
            return Decision(reason=explain(memory, errand, action, rng=rng), action=action)
        world = self._replay(view)
        plan = shortest_plan(world)
        if not plan:
            return self.decide(view, Disclosure.NONE, seed=seed, taken=taken)
        hidden = _hidden(world, plan, seen_names(view))
        if disclosure is Disclosure.P25:
            action = expert_action(view, first=kind_of(hidden[1]) if hidden else None)
            return Decision(reason=explain(memory, errand, action, rng=rng), action=action)
        (action,) = plan_commands(world, plan[:1])
        if hidden and _may_tell(disclosure, rng):
            item, place = hidden
            reason = disclose(memory, errand, action, item=item, place=place, rng=rng)
        else:
            reason = explain(memory, errand, action, rng=rng)
        return Decision(reason=reason, action=action)

    def values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """How many commands a shortest plan has after each admissible action, negated, from P50 on."""
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            return {}
        world = self._replay(view)
        if not shortest_plan(world):
            return {}
        # Many actions change nothing, and looking at things does not either.
        left: dict[object, float] = {}
        values = {}
        for command, action in world.admissible():
            after = world.copy()
            after.apply(action)
            if after.key not in left:
                plan = shortest_plan(after)
                left[after.key] = -math.inf if plan is None else -len(plan)
            values[command] = left[after.key]
        return values

    def _replay(self, view: View) -> World:
        """The game's true state after the history; what was not admissible did nothing."""
        world = World(self._game)
        for step in view.history:
            world.step(step.decision.action)
        return world


def _hidden(world: World, plan: Sequence[Action], seen: set[str]) -> tuple[str, str] | None:
    """The object that ``plan`` is after now and its receptacle, if the object has not been seen yet."""
    for action in plan:
        if action.object < 0 or _is_drop(world, action):
            continue
        item = world.game.objects[action.object].name
        if item in seen:
            return None
        at_place = action.receptacle >= 0
        return item, world.game.receptacles[action.receptacle].name if at_place else holder(world, action.object)
    return None


def _is_drop(world: World, action: Action) -> bool:
    """Whether ``action`` only empties the hands for something else."""
    goal = world.game.goal
    return action.name == "putobject" and (
        world.game.objects[action.object].otype != goal.otype
        or world.game.receptacles[action.receptacle].rtype != goal.rtype
    )


def _may_tell(disclosure: Disclosure, rng: Random) -> bool:
    return disclosure is Disclosure.P100 or (disclosure is Disclosure.P75 and rng.random() < P75_SHARE)
