"""Policies without a model: for demonstrations, for the two ends of the privilege scale, and as a baseline."""

from collections.abc import Sequence
from random import Random

from leap_exp.core.environments import Environment
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import QUERY_SLOT, Decision, DecisionFailure, View

_LONGEST_QUERY = 6


class OraclePolicy(Policy):
    """The environment's oracle as a policy: how well a teacher under ``disclosure`` acts itself."""

    def __init__(self, environment: Environment, disclosure: Disclosure) -> None:
        self._environment = environment
        self._disclosure = disclosure
        self.id = f"oracle-{disclosure}"

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """Return the oracle's decision for each view, or why it has none; ``seed`` varies the wording of reasons."""
        return [self._decide(view, seed) for view in views]

    def _decide(self, view: View, seed: int) -> Decision | DecisionFailure:
        try:
            return self._environment.oracle(view.task).decide(view, self._disclosure, seed=seed)
        except Exception as error:  # noqa: BLE001 - a task that the oracle cannot do costs that episode, not the run
            return DecisionFailure(error=f"{self.id}: {type(error).__name__}: {error}")


class ExpertPolicy(OraclePolicy):
    """The oracle without privileged facts: the expert for demonstrations."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, Disclosure.NONE)
        self.id = "expert"


class RandomPolicy(Policy):
    """Takes admissible actions at random. Where an action needs a text, it takes words of the task."""

    id = "random"

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """Return one action per view, drawn by seed, task and step; a failure where none is admissible."""
        return [self._decide(view, seed) for view in views]

    def _decide(self, view: View, seed: int) -> Decision | DecisionFailure:
        listed = view.observation.admissible_actions
        actions = (QUERY_SLOT,) if listed is None else listed
        if not actions:
            return DecisionFailure(error=f"{view.task.id} lists no admissible action, so the random policy cannot act.")
        return Decision(reason="", action=self._draw(view, actions, seed))

    def _draw(self, view: View, actions: Sequence[str], seed: int) -> str:
        rng = Random(derive_seed(seed, "random", *view.scope))
        action = rng.choice(actions)
        return action.replace(QUERY_SLOT, _excerpt(view.task.instruction, rng)) if QUERY_SLOT in action else action


class NoisyPolicy(Policy):
    """Takes the decisions of one policy and, with probability ``share`` at each step, those of another."""

    def __init__(self, policy: Policy, noise: Policy, *, share: float) -> None:
        self._policy, self._noise, self._share = policy, noise, share
        self.id = f"{policy.id}, {share:.0%} {noise.id}"

    def act(self, views: Sequence[View], *, seed: int) -> Sequence[Decision | DecisionFailure]:
        """Return one decision per view; whose it is depends on seed, task, step and sample."""
        pairs = zip(views, self._policy.act(views, seed=seed), self._noise.act(views, seed=seed), strict=True)
        return [noise if self._is_noisy(view, seed) else decision for view, decision, noise in pairs]

    def _is_noisy(self, view: View, seed: int) -> bool:
        return Random(derive_seed(seed, "noise", *view.scope)).random() < self._share


def _excerpt(text: str, rng: Random) -> str:
    """Return one to ``_LONGEST_QUERY`` consecutive words of ``text``."""
    words = text.split()
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randint(1, _LONGEST_QUERY)])
