"""From records to the text that a model reads and writes."""

from dataclasses import dataclass
from functools import cached_property

import jinja2

from leap_exp.core.errors import ConfigError
from leap_exp.core.types import Decision, Observation, Task, View
from leap_exp.prompts.condense import condense
from leap_exp.prompts.markup import Markup, Messages
from leap_exp.prompts.templating import templates

REASON_FIELD = "REASON:"
ACTION_FIELD = "ACTION:"


@dataclass(frozen=True)
class Renderer:
    """Renders instructions, turns and responses of one environment.

    Attributes:
        environment: Name of the environment; its instructions are ``templates/<environment>.j2``.
        markup: What stands between the parts.
        reasons: Whether a response is a reason and an action, or the action alone.
        list_actions: Whether the admissible actions are listed under each observation.
        condense: Whether observations are shown in fewer words (see leap_exp.prompts.condense).
        remind: Whether the task is repeated under each observation, next to where it is decided on.
    """

    environment: str
    markup: Markup
    reasons: bool
    list_actions: bool
    condense: bool
    remind: bool

    @cached_property
    def instructions(self) -> str:
        """What is said of the environment, and of how to answer."""
        try:
            template = templates().get_template(f"{self.environment}.j2")
        except jinja2.TemplateNotFound as error:
            names = (name.removesuffix(".j2") for name in templates().list_templates())
            known = ", ".join(sorted(name for name in names if "/" not in name))
            raise ConfigError(
                f"No prompt template for environment {self.environment!r}; there are: {known}."
            ) from error
        return template.render(reasons=self.reasons, list_actions=self.list_actions, brief=self._is_brief).strip()

    @cached_property
    def opening(self) -> str:
        """All that stands before the first observation."""
        return f"{self.markup.before_instructions}{self.instructions}{self.markup.after_instructions}"

    def turn(self, task: Task, observation: Observation) -> str:
        """The environment's side of a step, up to where the response begins."""
        return f"{self._shown(task, observation)}{self.markup.before_response}"

    def _shown(self, task: Task, observation: Observation) -> str:
        text = condense(observation, environment=self.environment) if self.condense else observation.text.strip()
        if self.list_actions and observation.admissible_actions is not None:
            listed = "\n".join(f"- {action}" for action in observation.admissible_actions)
            text = f"{text}\nAdmissible actions:\n{listed}"
        if self.remind:
            text = f"{text}\n[{task.instruction}]"
        return text

    def response(self, decision: Decision) -> list[str]:
        """The student's side of a step, cut where the action begins."""
        action_part = f" {decision.action}"
        return [self.reason_part(decision.reason), action_part] if self.reasons else [action_part]

    def reason_part(self, reason: str) -> str:
        """The response up to the action, for a student that gives reasons; a reason is one line."""
        return f"{REASON_FIELD} {' '.join(reason.split())}\n{ACTION_FIELD}"

    def segments(self, view: View, *, first_kept: int) -> list[str]:
        """The prompt for a step, cut where turns and responses meet.

        ``first_kept`` is the first turn kept after turn 0, which always stays: it holds the task.
        """
        pieces = [self.opening]
        for index, step in enumerate(view.history):
            if 0 < index < first_kept:
                continue
            turn = self.turn(view.task, step.observation)
            pieces += [turn, *self.response(step.decision), self.markup.after_response]
        pieces.append(self.turn(view.task, view.observation))
        return pieces

    def messages(self, view: View, *, first_kept: int) -> Messages:
        """The prompt for a step as a conversation, for a server that puts its own marks between the parts."""
        messages = [{"role": "system", "content": self.instructions}]
        for index, step in enumerate(view.history):
            if 0 < index < first_kept:
                continue
            response = "".join(self.response(step.decision)).strip()
            messages.append({"role": "user", "content": self._shown(view.task, step.observation)})
            messages.append({"role": "assistant", "content": response})
        return [*messages, {"role": "user", "content": self._shown(view.task, view.observation)}]

    @property
    def _is_brief(self) -> bool:
        """Whether instructions are kept to a line, as in a bare transcript."""
        return self.markup.before_instructions == ""
