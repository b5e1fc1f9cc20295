"""Policies without a model: for demonstrations, for the ends of the privilege scale, and as a floor."""

from collections.abc import Sequence
from random import Random

from leap_exp.core.errors import EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import QUERY_SLOT, Decision, View

_LONGEST_QUERY = 6


class OraclePolicy:
    """The environment's oracle, acting under a disclosure: how well a teacher does that acts itself."""

    def __init__(self, environment: Environment, disclosure: Disclosure) -> None:
        self._environment = environment
        self._disclosure = disclosure

    @property
    def id(self) -> str:
        """The oracle's name with its disclosure."""
        return f"oracle-{self._disclosure}"

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision]:
        """The oracle's decision for each view; ``seed`` varies the wording of the reasons only."""
        return [self._environment.oracle(view.task).decide(view, self._disclosure, seed=seed) for view in views]


class ExpertPolicy(OraclePolicy):
    """The oracle without privileged facts: an expert that knows its history alone, as demonstrations need it."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, Disclosure.NONE)

    @property
    def id(self) -> str:
        """The expert's name."""
        return "expert"


class RandomPolicy:
    """Admissible actions, all equally likely; a query, or an action where none is listed, is words of the task."""

    id = "random"

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision]:
        """One action a view, drawn by seed, task and step.

        Raises:
            EnvError: Nothing is admissible in a view.
        """
        return [Decision(reason="", action=self._draw(view, seed)) for view in views]

    def _draw(self, view: View, seed: int) -> str:
        listed = view.observation.admissible_actions
        actions = (QUERY_SLOT,) if listed is None else listed
        if not actions:
            raise EnvError(f"{view.task.id} admits no action: the random policy cannot act in it.")
        rng = Random(derive_seed(seed, "random", view.task.id, len(view.history)))
        action = rng.choice(actions)
        return action.replace(QUERY_SLOT, _excerpt(view.task.instruction, rng)) if QUERY_SLOT in action else action


def _excerpt(text: str, rng: Random) -> str:
    """One to ``_LONGEST_QUERY`` words of ``text`` in a row."""
    words = text.split()
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randint(1, _LONGEST_QUERY)])
