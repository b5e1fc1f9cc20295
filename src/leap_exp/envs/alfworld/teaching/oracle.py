"""The scripted expert that knows a game and uses its facts as the disclosure allows."""

import math
from collections.abc import Mapping, Sequence
from random import Random

from leap_exp.core.environments import Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, Observation, PrivilegedFacts, Task, View
from leap_exp.envs.alfworld.engine.fast import World
from leap_exp.envs.alfworld.engine.game import Action, Game
from leap_exp.envs.alfworld.teaching.expert import expert_action, is_sound
from leap_exp.envs.alfworld.teaching.facts import holder, privileged_facts
from leap_exp.envs.alfworld.teaching.memory import kind_of, recall, seen_names
from leap_exp.envs.alfworld.teaching.planner import plan_commands, shortest_plan
from leap_exp.envs.alfworld.teaching.reasons import disclose, explain
from leap_exp.envs.alfworld.teaching.subtask import read_subtask
from leap_exp.envs.disclosure import may_reveal


class AlfworldOracle(Oracle):
    """The scripted expert for ``game``."""

    def __init__(self, game: Game) -> None:
        self._game = game

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best action in ``view`` under ``disclosure``, with a reason.

        - NONE: the action of the expert that knows only the history.
        - P25: the same, but this expert first searches the kind of place where the object is.
        - From P50: the first action of a shortest plan. The reason names the hidden object and its place sometimes at
          P75, and always at P100.

        At NONE and P25 the student's action ``taken`` is kept if it is as good, judging by the history. If the game can
        no longer be won, the decision is that of NONE.
        """
        memory, subtask = recall(view), read_subtask(view.task.instruction)
        rng = Random(derive_seed(seed, "reason", view.task.id, len(view.history)))
        if disclosure in (Disclosure.NONE, Disclosure.P25) and taken is not None and is_sound(view, taken):
            return Decision(reason=explain(memory, subtask, taken, rng=rng), action=taken)
        if disclosure is Disclosure.NONE:
            action = expert_action(view)
            return Decision(reason=explain(memory, subtask, action, rng=rng), action=action)
        world = self._replay(view)
        plan = shortest_plan(world)
        if not plan:
            return self.decide(view, Disclosure.NONE, seed=seed, taken=taken)
        hidden = _hidden(world, plan, seen_names(view))
        if disclosure is Disclosure.P25:
            action = expert_action(view, first=kind_of(hidden[1]) if hidden else None)
            return Decision(reason=explain(memory, subtask, action, rng=rng), action=action)
        (action,) = plan_commands(world, plan[:1])
        if hidden and may_reveal(disclosure, rng):
            item, place = hidden
            reason = disclose(memory, subtask, action, item=item, place=place, rng=rng)
        else:
            reason = explain(memory, subtask, action, rng=rng)
        return Decision(reason=reason, action=action)

    def action_values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """Return minus the length of a shortest plan after each admissible action; empty at NONE and P25."""
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            return {}
        world = self._replay(view)
        if not shortest_plan(world):
            return {}
        # Many actions lead to the same state.
        known: dict[object, float] = {}
        values = {}
        for command, action in world.admissible():
            after = world.copy()
            after.apply(action)
            if after.key not in known:
                plan = shortest_plan(after)
                known[after.key] = -math.inf if plan is None else -len(plan)
            values[command] = known[after.key]
        return values

    def facts_about(self, task: Task) -> PrivilegedFacts:
        """Return where the objects of this oracle's game are, and a shortest sequence of commands."""
        return privileged_facts(task.id, self._game)

    def fits(self, view: View) -> bool:
        """Return whether the history of ``view`` would look the same in this oracle's game."""
        world = World(self._game)
        text = world.intro()
        for step in view.history:
            if not _looks_like(world, text, step.observation):
                return False
            text = world.step(step.decision.action)
        return _looks_like(world, text, view.observation)

    def _replay(self, view: View) -> World:
        """Return the true state of the game after the history."""
        world = World(self._game)
        for step in view.history:
            world.step(step.decision.action)
        return world


def _looks_like(world: World, text: str, observation: Observation) -> bool:
    commands = tuple(command for command, _ in world.admissible())
    return (text, commands) == (observation.text, observation.admissible_actions)


def _hidden(world: World, plan: Sequence[Action], seen: set[str]) -> tuple[str, str] | None:
    """Return the next object of ``plan`` and its receptacle, or None if the student has seen the object."""
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
    """Return whether ``action`` puts an object down only to empty the hands."""
    goal = world.game.goal
    return action.name == "putobject" and (
        world.game.objects[action.object].otype != goal.otype
        or world.game.receptacles[action.receptacle].rtype != goal.rtype
    )
