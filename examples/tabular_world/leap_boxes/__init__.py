"""A world that is small enough to enumerate: a coin in one of the closed boxes along a corridor.

``leap_boxes.corridor`` has all its states and exact values; this file makes it an environment. The instruction is the
same in all tasks, so that where the coin is can only be found out, or told.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from leap_boxes.corridor import (
    LEFT,
    OPEN,
    RIGHT,
    Corridor,
    State,
    expected_steps_after,
)
from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.environments import ConsistentWorlds, Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import setting
from leap_exp.core.types import Decision, EnvironmentPrompts, Observation, PrivilegedFacts, Task, Transition, View
from leap_exp.envs.disclosure import may_reveal

SPLITS = ("train", "valid_unseen")
FOUND, EMPTY = "The coin is in it.", "It is empty."


@dataclass
class BoxesConfig(EnvironmentConfig):
    """A corridor of closed boxes, small enough to enumerate."""

    max_steps_train: int = setting(12, "Maximum steps of a training episode.", minimum=1)
    max_steps_eval: int = setting(12, "Maximum steps of an evaluation episode.", minimum=1)
    boxes: int = setting(4, "Number of boxes.", minimum=2)
    copies: int = setting(6, "Tasks in each split for every place of the coin.", minimum=1)

    def build(self) -> Environment:
        """Return the environment."""
        return BoxesEnvironment(self)


class BoxesEnvironment(Environment):
    """Tasks that differ in where the coin is."""

    name = "boxes"
    max_repeats = 1
    prompts = EnvironmentPrompts(student="Find the coin. Answer with {{ 'a reason and ' if reasons }}an action.")

    def __init__(self, config: BoxesConfig) -> None:
        self.corridor = Corridor(config.boxes)
        self._copies = config.copies

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split."""
        if split not in SPLITS:
            raise ConfigError(f"There is no split {split!r}; choose one of: {', '.join(SPLITS)}.")
        boxes = self.corridor.boxes
        return [
            Task(
                id=f"boxes/{boxes}/{split}/{copy * boxes + world}",
                split=split,
                instruction=f"Find the coin in one of the {boxes} boxes.",
                kind="coin",
            )
            for copy in range(self._copies)
            for world in self.corridor.worlds
        ]

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[Episode]:
        """Start an episode."""
        yield BoxesEpisode(self.corridor, self.world(task), task.instruction)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return which box has the coin."""
        return self.oracle(task).facts_about(task)

    def oracle(self, task: Task) -> "BoxesOracle":
        """Return the scripted expert."""
        return BoxesOracle(self.corridor, self.world(task))

    def consistent_worlds(self, view: View, *, limit: int, seed: int) -> ConsistentWorlds:
        """Return the boxes in which the coin may still be, or ``limit`` draws of them."""
        worlds = self.corridor.consistent_worlds(state_of(self.corridor, view))
        is_exact = len(worlds) <= limit
        if not is_exact:
            worlds = tuple(Random(derive_seed(seed, "worlds", *view.scope)).choices(worlds, k=limit))
        return ConsistentWorlds(
            oracles=tuple(BoxesOracle(self.corridor, world) for world in worlds),
            probabilities=(1 / len(worlds),) * len(worlds),
            is_exact=is_exact,
        )

    def world(self, task: Task) -> int:
        """Return which box has the coin, from 0."""
        boxes, _, number = task.id.removeprefix("boxes/").split("/")
        if int(boxes) != self.corridor.boxes:
            raise DataError(f"The task {task.id!r} has another number of boxes than env.boxes={self.corridor.boxes}.")
        return int(number) % self.corridor.boxes


class BoxesEpisode(Episode):
    """One search for the coin."""

    def __init__(self, corridor: Corridor, world: int, instruction: str) -> None:
        self._corridor, self._world = corridor, world
        self._state = corridor.start
        self._observation = self._observe(f"{instruction} {self._place()}")

    @property
    def observation(self) -> Observation:
        """What the student sees now."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Walk, or open the box."""
        if action not in self._observation.admissible_actions:
            text = "You cannot do that."
        else:
            self._state = self._corridor.after(self._world, self._state, action)
            text = self._place() if action != OPEN else FOUND if self._state.found else EMPTY
        self._observation = self._observe(text)
        return Transition(observation=self._observation, reward=self.score(), done=self._state.found)

    def score(self) -> float:
        """Return 1 if the coin was found, else 0."""
        return float(self._state.found)

    def _place(self) -> str:
        closed = self._state.position not in self._state.opened
        return f"You stand at box {self._state.position + 1}, which is {'closed' if closed else 'open and empty'}."

    def _observe(self, text: str) -> Observation:
        return Observation(text=text, admissible_actions=self._corridor.actions(self._state))


class BoxesOracle(Oracle):
    """Takes an exactly best action: for one who knows where the coin is, or for one who only knows the history."""

    def __init__(self, corridor: Corridor, world: int) -> None:
        self._corridor, self._world = corridor, world

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return a best action, with a reason that discloses as much as it may.

        At P25 it is told in which half of the corridor the coin is, and uses that only to choose between actions that
        are equally good for one who does not know.
        """
        values = self.action_values(view, disclosure)
        best = [action for action, each in values.items() if each >= max(values.values()) - 1e-9]
        choice = taken if taken in best else self._in_the_right_half(best) if disclosure is Disclosure.P25 else best[0]
        if may_reveal(disclosure, Random(derive_seed(seed, "reason", *view.scope))):
            return Decision(reason=f"The coin is in box {self._world + 1}.", action=choice)
        reason = "This box is still closed." if choice == OPEN else "There are closed boxes in this direction."
        return Decision(reason=reason, action=choice)

    def action_values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """Return minus the number of steps to the coin after each action; the expected number up to P25."""
        state = state_of(self._corridor, view)
        actions = self._corridor.actions(state)
        if disclosure in (Disclosure.NONE, Disclosure.P25):
            return {action: -expected_steps_after(self._corridor, state, action) for action in actions}
        after = {action: self._corridor.after(self._world, state, action) for action in actions}
        return {action: -1.0 - self._corridor.steps_left(self._world, each) for action, each in after.items()}

    def facts_about(self, task: Task) -> PrivilegedFacts:
        """Return which box has the coin."""
        name = f"box {self._world + 1}"
        return PrivilegedFacts(
            task_id=task.id,
            text=f"The coin is in {name}.",
            data={"locations": {"coin": name}, "hidden_names": [name]},
        )

    def fits(self, view: View) -> bool:
        """Return whether the coin may still be there."""
        return self._world in self._corridor.consistent_worlds(state_of(self._corridor, view))

    def _in_the_right_half(self, best: Sequence[str]) -> str:
        towards = RIGHT if self._world > self._corridor.start.position else LEFT
        return towards if towards in best else best[0]


def state_of(corridor: Corridor, view: View) -> State:
    """Return the state that the history of ``view`` leads to; ``corridor.consistent_worlds`` tells what is possible."""
    taken = [step.decision.action for step in view.history if step.is_valid]
    return corridor.replay(taken, found=view.observation.text == FOUND)
