"""An episode: commands, and in the end the reward."""

from __future__ import annotations

from collections.abc import Callable

from leap_exp.core.errors import EnvError
from leap_exp.core.types import Observation, Transition
from leap_exp.envs.intercode_bash.reward import Gold, Reward, judge
from leap_exp.envs.intercode_bash.sandbox import Sandbox
from leap_exp.envs.intercode_bash.shell import Quoting, Shell

SUBMIT, SKIP = "submit", "skip"
_SKIPPED = "skipped"


class BashEpisode:
    """Answers to ``query`` in ``sandbox``. ``submit`` ends it with the reward, ``skip`` with none.

    Args:
        sandbox: A fresh one.
        query: The request.
        gold: What the gold command leaves; asked for when it is needed first.
        quoting: How commands reach the shell.
        shown_characters: How much of an output is shown; the reward is for all of it.
    """

    def __init__(
        self, sandbox: Sandbox, query: str, gold: Callable[[], Gold], *, quoting: Quoting, shown_characters: int
    ) -> None:
        self._sandbox = sandbox
        self._gold = gold
        self._shell = Shell(sandbox, quoting)
        self._shown_characters = shown_characters
        self._output = query
        self._score = 0.0
        self._done = False
        self.observation = Observation(text=query, admissible_actions=None)

    def step(self, action: str) -> Transition:
        """Carry out ``action``; what is no command is answered by the shell.

        Raises:
            EnvError: The episode is over, or the sandbox broke.
        """
        if self._done:
            raise EnvError(f"The episode is over: {action!r} comes after its end.")
        if action == SKIP:
            self._done = True
            self.observation = Observation(text=_SKIPPED, admissible_actions=None)
        elif action.startswith(SUBMIT):
            self._done = True
            self._score = min(1.0, self.judge().total)
        else:
            self._output = self._shell.run(action).text
            self.observation = Observation(
                text=shortened(self._output, self._shown_characters), admissible_actions=None
            )
        return Transition(observation=self.observation, reward=self._score, done=self._done)

    def judge(self) -> Reward:
        """The reward that submitting would bring now."""
        return judge(self._sandbox, self._output, self._gold())

    def score(self) -> float:
        """The reward of what was submitted; 0.0 before that."""
        return self._score


def shortened(text: str, most: int) -> str:
    """``text`` with its middle left out, and that said, if it has more than ``most`` characters."""
    if len(text) <= most:
        return text
    head, tail = most * 2 // 3, most // 3
    return f"{text[:head]}\n[{len(text) - head - tail} characters left out]\n{text[-tail:]}"
