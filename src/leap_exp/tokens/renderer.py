"""The renderer of prompts and responses: from records to the text that a student reads and writes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Briefing, Decision, EnvironmentPrompts, Observation, Task, View
from leap_exp.tokens.markup import Markup, Messages
from leap_exp.tokens.parser import read_decision, read_tagged, written_action
from leap_exp.tokens.templating import render, templates

LINES, TAGS, THINK_OR_ACT = ANSWERS = ("lines", "tags", "think_or_act")
"""The forms of a model's answers: REASON: and ACTION:, <think> and <action>, or an action that may be a thought."""

REASON_FIELD = "REASON:"
ACTION_FIELD = "ACTION:"

_LINE_BREAKS = re.compile(r"\s*[\r\n]\s*")

_PACKAGE = "leap_exp.tokens"

NO_LIMITS: Mapping[int, int] = MappingProxyType({})


@dataclass
class PromptConfig(Settings):
    """What a student's prompts contain."""

    reasons: bool = setting(True, "Whether the student writes a reason before the action.")
    list_actions: bool = setting(True, "Whether the prompt lists the admissible actions.")
    answer: str = setting(
        "lines",
        "Form of answers: lines (REASON: and ACTION:), tags (<think> and <action>) or think_or_act (an action alone, "
        "which may be a thought).",
        choices=ANSWERS,
    )
    condense: bool = setting(False, "Whether observations leave out what only repeats the action before them.")
    remind: bool = setting(False, "Whether the prompt repeats the task under every observation.")

    def check_answer(self, *, is_free: bool) -> None:
        """Check that the form of answers goes with the other settings; ``is_free``: the student writes free text.

        Raises:
            ConfigError: It does not.
        """
        if self.answer != LINES and not is_free:
            raise ConfigError(
                f"student.answer={self.answer} is a form of free text; set student.decoding=free, or student.answer="
                f"{LINES}."
            )
        if self.answer == TAGS and not self.reasons:
            raise ConfigError("student.answer=tags has a place for the reason; set student.reasons=true.")
        if self.answer == THINK_OR_ACT and self.reasons:
            raise ConfigError("student.answer=think_or_act has thoughts for reasons; set student.reasons=false.")


@dataclass(frozen=True)
class Renderer:
    """Renders instructions, turns and responses.

    Attributes:
        prompts: How the environment, or each of those that are joined, describes itself.
        markup: The text between the parts.
        config: What prompts contain.
        briefing: Privileged facts and the rule for using them, shown below the instructions; only set for a student
            that teaches (see leap_exp.tokens.briefed). Without facts the prompt is the student's own.
    """

    prompts: EnvironmentPrompts
    markup: Markup
    config: PromptConfig
    briefing: Briefing | None = None
    # By environment, each rendered once; a copy with another briefing starts anew.
    _instructions: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def instructions(self, task: Task) -> str:
        """Return what the student is told about the environment of ``task`` and about the form of its answers."""
        if task.environment not in self._instructions:
            self._instructions[task.environment] = self._render_instructions(self.prompts.of(task))
        return self._instructions[task.environment]

    def _render_instructions(self, prompts: EnvironmentPrompts) -> str:
        template = templates(_PACKAGE).from_string(prompts.student)
        config = self.config
        instructions = template.render(
            reasons=config.reasons, list_actions=config.list_actions, answer=config.answer, brief=self._brief
        ).strip()
        if self.briefing is None or self.briefing.facts is None:
            return instructions
        facts = render(
            _PACKAGE,
            "briefing.j2",
            facts=self.briefing.facts.text,
            disclosure=self.briefing.disclosure.value,
            reasons=config.reasons,
            brief=self._brief,
        )
        return f"{instructions}\n{facts}"

    def opening(self, task: Task) -> str:
        """Return everything before the first observation."""
        instructions = self.markup.as_text(self.instructions(task))
        return f"{self.markup.before_instructions}{instructions}{self.markup.after_instructions}"

    def turn(self, task: Task, observation: Observation, *, characters: int | None = None, left_out: int = 0) -> str:
        """Return the environment's side of a step, up to where the response begins.

        Of a longer text, ``characters`` are shown: see ``shortened``. If steps before it are ``left_out``, it begins
        with the task.
        """
        shown = self._shown(task, observation, characters, left_out)
        return f"{self.markup.as_text(shown)}{self.markup.before_response}"

    def response(self, decision: Decision) -> list[str]:
        """Return the student's side of a step, split where the action begins.

        The parser reads exactly this action back, except that its line breaks become spaces if a line break ends the
        response.
        """
        action = decision.action
        if self.markup.ends_with_line:
            action = _LINE_BREAKS.sub(" ", action)
        if self.config.answer == TAGS:
            reason = self.markup.as_text(" ".join(decision.reason.split()))
            return [f"<think>{reason}</think>\n<action>", f"{self.markup.as_text(action)}</action>"]
        action_part = f" {self.markup.as_text(written_action(action))}"
        return [self.reason_part(decision.reason), action_part] if self.config.reasons else [action_part]

    def read(self, text: str, *, cut_off: bool) -> Decision:
        """Return the decision in a freely written response; one without an action is an inadmissible action."""
        if self.config.answer == TAGS:
            return read_tagged(text, cut_off=cut_off)
        return read_decision(text, reasons=self.config.reasons, cut_off=cut_off)

    def reason_part(self, reason: str) -> str:
        """Return a response with a reason, up to the action. A reason is one line."""
        return f"{REASON_FIELD} {self.markup.as_text(' '.join(reason.split()))}\n{ACTION_FIELD}"

    def segments(
        self, view: View, *, first_kept: int, limits: Mapping[int, int] = NO_LIMITS, thinking: bool = False
    ) -> list[str]:
        """Return the prompt for a step, split between turns and responses.

        Args:
            view: What the student sees.
            first_kept: The first turn kept after turn 0. Turn 0 always stays, because it holds the task.
            limits: The characters shown of each turn that is too long, by its index.
            thinking: Whether the student may think before the response (``Markup.before_thoughts``).
        """
        pieces = [self.opening(view.task)]
        for index, step in enumerate(view.history):
            if 0 < index < first_kept:
                continue
            left_out = 0 if index else view.left_out
            turn = self.turn(view.task, step.observation, characters=limits.get(index), left_out=left_out)
            pieces += [turn, *self.response(step.decision), self.markup.after_response]
        left_out = 0 if view.history else view.left_out
        last = self.turn(view.task, view.observation, characters=limits.get(len(view.history)), left_out=left_out)
        if thinking and self.markup.before_thoughts:
            last = last.removesuffix(self.markup.before_response) + self.markup.before_thoughts
        return [*pieces, last]

    def messages(self, view: View, *, first_kept: int, limits: Mapping[int, int] = NO_LIMITS) -> Messages:
        """Return the prompt for a step as chat messages, for a server that applies its own markup."""
        messages = [{"role": "system", "content": self.instructions(view.task)}]
        for index, step in enumerate(view.history):
            if 0 < index < first_kept:
                continue
            response = "".join(self.response(step.decision)).strip()
            shown = self._shown(view.task, step.observation, limits.get(index), 0 if index else view.left_out)
            messages.append({"role": "user", "content": shown})
            messages.append({"role": "assistant", "content": response})
        left_out = 0 if view.history else view.left_out
        last = self._shown(view.task, view.observation, limits.get(len(view.history)), left_out)
        return [*messages, {"role": "user", "content": last}]

    def _shown(self, task: Task, observation: Observation, characters: int | None, left_out: int) -> str:
        text = self.prompts.of(task).condense(observation) if self.config.condense else observation.text.strip()
        if self.config.list_actions and observation.admissible_actions is not None:
            listed = "\n".join(f"- {action}" for action in observation.admissible_actions)
            text = f"{text}\nAdmissible actions:\n{listed}"
        if self.config.remind:
            text = f"{text}\n[{task.instruction}]"
        if characters is not None:
            text = shortened(text, characters)
        return f"Your task is to: {task.instruction}\n[{left_out} earlier steps]\n{text}" if left_out else text

    @property
    def _brief(self) -> bool:
        """Whether instructions are one line, as in a plain transcript."""
        return self.markup.is_transcript


def shortened(text: str, characters: int) -> str:
    """Return the first two thirds and the last third of ``characters`` of ``text``, with a note between them."""
    tail = characters // 3
    head = characters - tail
    return f"{text[:head]}\n[{len(text) - characters} characters left out]\n{text[len(text) - tail :]}"
