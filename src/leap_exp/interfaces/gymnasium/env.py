"""One environment for Gymnasium."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.error import InvalidAction, ResetNeeded

from leap_exp.core.environments import Episode
from leap_exp.core.errors import ConfigError
from leap_exp.core.text import valid_text
from leap_exp.core.types import SUCCESS_SCORE, PrivilegedFacts, Task
from leap_exp.interfaces.gymnasium.spaces import UnicodeText
from leap_exp.interfaces.opening import open_environment, read_settings

if TYPE_CHECKING:
    from leap_exp.stages.evaluate import Panel

MAX_CHARACTERS = 65_536
"""Maximum length of an observation. Of longer ones the middle is left out."""
MAX_ACTION_CHARACTERS = 16_384
"""Maximum length of an action: a shell takes no argument of more than 128 KiB, and a character has up to 4 bytes."""

_CUT = "\n[... the middle of this text is left out ...]\n"


class GymnasiumEnv(gymnasium.Env[str, str]):
    """An environment of leap_exp for Gymnasium.

    Observations are exactly the texts that a student sees, and actions are texts. The sum of the rewards is the score
    of the episode, in [0, 1]. A win or a submission ends it as ``terminated``; ``gymnasium.make`` adds the horizon,
    which ends it as ``truncated``. ``info`` always has these keys:

    - ``task``, ``kind``, ``instruction``: the task's id, its group in results, and what to do;
    - ``admissible_actions``: a tuple of texts, or None if every text is one. ``<query>`` in an action is a place for
      any text of the agent's choice;
    - ``score``, ``success``: the score so far, and whether it is 1;
    - ``privileged_facts``, only if asked for: what is hidden from a student, a ``PrivilegedFacts``.

    Args:
        config: ``module:name`` of the settings class of the environment.
        split: Split of the tasks; by default the one for training.
        panel: Number of tasks of an evaluation panel, drawn as ``evaluation.tasks`` does it; None for the whole split.
        panel_seed: Seed of the panel.
        privileged_facts: Whether ``info`` has the privileged facts.
        render_mode: None, or "ansi": ``render`` returns the last observation.
        **settings: Settings of the environment, such as ``games`` of ALFWorld.

    Attributes:
        tasks: The tasks that an episode can have.
        panel: The panel, or None without one. Its ``hash`` is the ``panel_hash`` of runs that are evaluated on it.

    Raises:
        ConfigError: There is no such setting or split, or a value is not valid.
        DataError: Data is missing, or there are too few tasks.
        EnvError: This machine cannot run the environment.
    """

    # Gymnasium's checker asks for a number of frames per second, also of texts.
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 - as the base class declares it

    def __init__(
        self,
        config: str,
        *,
        split: str | None = None,
        panel: int | None = None,
        panel_seed: int = 0,
        privileged_facts: bool = False,
        render_mode: str | None = None,
        **settings: object,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(f"render_mode={render_mode!r} is not valid: choose ansi, or None.")
        self.observation_space = UnicodeText(MAX_CHARACTERS)
        self.action_space = UnicodeText(MAX_ACTION_CHARACTERS)
        self.render_mode = render_mode
        values = read_settings(config, settings)
        self.environment = open_environment(values)
        self.environment.prepare()
        split = values.train_split if split is None else split
        self.tasks: Sequence[Task] = self.environment.tasks(split)
        self.panel: Panel | None = None
        if panel is not None:
            self.panel = _draw_panel(self.tasks, split, panel, panel_seed)
            self.tasks = self.panel.tasks
        self._shows_facts = privileged_facts
        self._facts: PrivilegedFacts | None = None
        self._resources = ExitStack()
        self._episode: Episode | None = None
        self._task: Task | None = None
        self._done = False
        self._score = 0.0

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode of a random task, or of the one whose id is ``options["task"]``.

        The same ``seed`` gives the same task and, after the same actions, the same episode.

        Raises:
            ConfigError: There is no such option, or no such task.
        """
        super().reset(seed=seed)
        if unknown := sorted((options or {}).keys() - {"task"}):
            raise ConfigError(f"options has {unknown[0]!r}, which is unknown: it takes the id of a task as 'task'.")
        task_id = (options or {}).get("task")
        drawn = int(self.np_random.integers(len(self.tasks)))
        task = self.tasks[drawn] if task_id is None else self.tasks[self._place(task_id)]
        self.close()
        self._episode = self._resources.enter_context(
            self.environment.open(task, seed=int(self.np_random.integers(2**63)))
        )
        self._task, self._done, self._score = task, False, 0.0
        self._facts = self.environment.privileged(task) if self._shows_facts else None
        return self._observation(self._episode), self._info(self._episode, task)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take ``action``. The environment answers an inadmissible one, too.

        Raises:
            InvalidAction: ``action`` is not a text.
            ResetNeeded: No episode was started, or it has ended.
        """
        if self._episode is None or self._task is None or self._done:
            raise ResetNeeded("The episode has ended, or none was started: call reset().")
        if not isinstance(action, str):
            raise InvalidAction(f"The action {action!r} is not a text.")
        self._done = self._episode.step(action).done
        before, self._score = self._score, self._episode.score()
        info = self._info(self._episode, self._task)
        return self._observation(self._episode), self._score - before, self._done, False, info

    def render(self) -> str | None:
        """Return the last observation if ``render_mode`` is "ansi"."""
        if self.render_mode is None:
            return None
        return self._observation(self._episode) if self._episode else ""

    def close(self) -> None:
        """End the episode and free its resources."""
        self._episode = None
        self._resources.close()

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {task.id: place for place, task in enumerate(self.tasks)}

    def _place(self, task_id: object) -> int:
        place = self._places.get(task_id) if isinstance(task_id, str) else None
        if place is None:
            some = f"{self.tasks[0].id!r}" + (" ..." if len(self.tasks) > 1 else "")
            raise ConfigError(
                f"There is no task {task_id!r} among these {len(self.tasks)}: choose an id such as {some}."
            )
        return place

    def _observation(self, episode: Episode) -> str:
        text = valid_text(episode.observation.text)
        if len(text) <= MAX_CHARACTERS:
            return text
        half = (MAX_CHARACTERS - len(_CUT)) // 2
        return text[:half] + _CUT + text[-half:]

    def _info(self, episode: Episode, task: Task) -> dict[str, Any]:
        info = {
            "task": task.id,
            "kind": task.kind,
            "instruction": task.instruction,
            "admissible_actions": episode.observation.admissible_actions,
            "score": self._score,
            "success": self._score >= SUCCESS_SCORE,
        }
        return {**info, "privileged_facts": self._facts} if self._shows_facts else info


def _draw_panel(tasks: Sequence[Task], split: str, size: int, seed: int) -> "Panel":
    # Imported here, because it takes a quarter of the time of importing this module.
    from leap_exp.stages.evaluate import draw_panel

    if not 1 <= size <= len(tasks):
        raise ConfigError(f"panel={size} is not valid: the split {split!r} has {len(tasks)} tasks.")
    return draw_panel(tasks, split=split, size=size, seed=seed)
