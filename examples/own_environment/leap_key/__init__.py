"""An environment in one file: find the key that somebody left in one of four rooms.

Who left it decides where it is. The student has to learn that; the oracle knows it as a privileged fact.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.environments import Environment, Episode, Oracle
from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.settings import setting
from leap_exp.core.types import Decision, EnvironmentPrompts, Observation, PrivilegedFacts, Task, Transition, View

ROOM_OF = {"cook": "kitchen", "driver": "garage", "gardener": "shed", "reader": "library"}
ACTIONS = tuple(f"search the {room}" for room in sorted(ROOM_OF.values()))
SPLITS = ("train", "valid_unseen")


@dataclass
class KeyConfig(EnvironmentConfig):
    """A key to find in one of four rooms."""

    max_steps_train: int = setting(4, "Maximum steps of a training episode.", minimum=1)
    max_steps_eval: int = setting(4, "Maximum steps of an evaluation episode.", minimum=1)
    size: int = setting(24, "Tasks in each split.", minimum=4)

    def build(self) -> Environment:
        """Return the environment."""
        return KeyEnvironment(self)


class KeyEnvironment(Environment):
    """Tasks that differ in who left the key."""

    name = "key"
    max_repeats = 0
    prompts = EnvironmentPrompts(student="Find the key. Answer with {{ 'a reason and ' if reasons }}an action.")

    def __init__(self, config: KeyConfig) -> None:
        self._size = config.size

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split."""
        if split not in SPLITS:
            raise ConfigError(f"There is no split {split!r}; choose one of: {', '.join(SPLITS)}.")
        people = [sorted(ROOM_OF)[index % len(ROOM_OF)] for index in range(self._size)]
        return [
            Task(
                id=f"key/{split}/{index}", split=split, instruction=f"Find the key that the {person} left.", kind=person
            )
            for index, person in enumerate(people)
        ]

    @contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[Episode]:
        """Start an episode."""
        yield KeyEpisode(task)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return where the key is."""
        room = ROOM_OF[task.kind]
        return PrivilegedFacts(task_id=task.id, text=f"The key is in the {room}.", data={"hidden_names": [room]})

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert."""
        return KeyOracle(task)


class KeyEpisode(Episode):
    """One search for the key."""

    def __init__(self, task: Task) -> None:
        self._right = f"search the {ROOM_OF[task.kind]}"
        self._score = 0.0
        self._observation = Observation(text=f"You are in the hall. {task.instruction}", admissible_actions=ACTIONS)

    @property
    def observation(self) -> Observation:
        """What the student sees now."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Search a room."""
        found = action == self._right
        self._score = float(found)
        self._observation = Observation(text="Here it is!" if found else "No key here.", admissible_actions=ACTIONS)
        return Transition(observation=self._observation, reward=self._score, done=found)

    def score(self) -> float:
        """Return 1 if the key was found, else 0."""
        return self._score


class KeyOracle(Oracle):
    """Goes to the right room or, without privilege, to the first one that was not searched yet."""

    def __init__(self, task: Task) -> None:
        self._right = f"search the {ROOM_OF[task.kind]}"

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return an action with a reason that discloses as much as it may."""
        if disclosure is Disclosure.NONE:
            searched = {step.decision.action for step in view.history}
            left = [action for action in ACTIONS if action not in searched] or list(ACTIONS)
            return Decision(reason="I look where I have not looked.", action=taken if taken in left else left[0])
        reason = (
            f"{self._right.removeprefix('search ').capitalize()} has the key." if disclosure is Disclosure.P100 else ""
        )
        return Decision(reason=reason or "People leave keys where they work.", action=self._right)
