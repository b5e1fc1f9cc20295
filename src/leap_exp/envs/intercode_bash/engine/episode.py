"""An episode: shell commands, and a reward at the end."""

from collections.abc import Callable, Sequence

from leap_exp.core.environments import Episode
from leap_exp.core.errors import EnvError
from leap_exp.core.types import Observation, Transition
from leap_exp.envs.intercode_bash.engine.reward import GoldResult, Reward, compute_reward
from leap_exp.envs.intercode_bash.engine.sandbox import Sandbox
from leap_exp.envs.intercode_bash.engine.shell import Quoting, Shell

SUBMIT, SKIP = "submit", "skip"
_SKIPPED = "skipped"


class BashEpisode(Episode):
    """An episode of a query. The action ``submit`` ends it with the reward, ``skip`` with 0.

    Args:
        sandbox: A new sandbox with the query's file tree.
        query: The query's text.
        golds: Returns what each gold command does; called when a reward is computed.
        quoting: How commands reach the shell.
        shown_characters: Maximum characters of output shown. The reward is computed from all of it.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        query: str,
        golds: Callable[[], Sequence[GoldResult]],
        *,
        quoting: Quoting,
        shown_characters: int,
    ) -> None:
        self._sandbox = sandbox
        self._golds = golds
        self._shell = Shell(sandbox, quoting)
        self._shown_characters = shown_characters
        self._output = query
        self._score = 0.0
        self._done = False
        self._observation = Observation(text=query, admissible_actions=None)

    @property
    def observation(self) -> Observation:
        """The query at first, then the output of the last command."""
        return self._observation

    def step(self, action: str) -> Transition:
        """Run ``action`` in the shell; any text is allowed.

        Raises:
            EnvError: The episode has ended, or the sandbox failed.
        """
        if self._done:
            raise EnvError(f"The episode has ended, so {action!r} cannot be run: open a new one.")
        if action == SKIP:
            self._done = True
            self._observation = Observation(text=_SKIPPED, admissible_actions=None)
        elif action.startswith(SUBMIT):
            self._done = True
            self._score = min(1.0, self.reward().total)
        else:
            self._output = self._shell.run(action).text
            shown = shortened(self._output, self._shown_characters)
            self._observation = Observation(text=shown, admissible_actions=None)
        return Transition(observation=self._observation, reward=self._score, done=self._done)

    def reward(self) -> Reward:
        """Return the reward for submitting now: that of the gold command that is closest, if there are several."""
        rewards = [compute_reward(self._sandbox, self._output, gold) for gold in self._golds()]
        return max(rewards, key=lambda reward: reward.total)

    def score(self) -> float:
        """Return the reward of the submission; 0.0 before it."""
        return self._score


def shortened(text: str, maximum: int) -> str:
    """Return ``text``, with a note in place of its middle if it has more than ``maximum`` characters."""
    if len(text) <= maximum:
        return text
    head, tail = maximum * 2 // 3, maximum // 3
    return f"{text[:head]}\n[{len(text) - head - tail} characters left out]\n{text[-tail:]}"
