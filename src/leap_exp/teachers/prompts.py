"""What a teacher that is a language model is asked: to correct, to rank actions, to add reasons, to extract facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from leap_exp.core.types import Briefing, Decision, Trajectory, View
from leap_exp.tokens.templating import render, templates

PACKAGE = "leap_exp.teachers"

MAX_RANKED = 5
"""Actions that a ranking may name per step. Further ranks would be noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The two messages of a request: the instructions and the case."""

    system: str
    user: str

    def again(self, complaint: str) -> "Prompt":
        """Return the prompt of another attempt, which says why the last answer could not be used."""
        return Prompt(system=self.system, user=render(PACKAGE, "again.j2", request=self.user, complaint=complaint))


@dataclass(frozen=True)
class TeachingRenderer:
    """Renders requests for corrections, and for rankings of actions, in one environment.

    The facts are in the user message and the rule for using them in the system message, so that prompts which differ
    only in the disclosure differ only in the rule. ``Disclosure.NONE`` has no facts.

    Attributes:
        environment: Jinja template that describes the environment (``EnvironmentPrompts.teacher``); if empty,
            ``templates/any.j2``.
    """

    environment: str

    def trajectory(self, trajectory: Trajectory, briefing: Briefing) -> Prompt:
        """Return the request to correct all steps of ``trajectory``."""
        user = render(PACKAGE, "correct/trajectory.j2", trajectory=trajectory, facts=_facts(briefing))
        return Prompt(system=self._system("correct", "trajectory", briefing), user=user)

    def step(self, view: View, taken: Decision, briefing: Briefing) -> Prompt:
        """Return the request to correct the decision ``taken`` in ``view``."""
        user = render(PACKAGE, "correct/step.j2", view=view, decision=taken, facts=_facts(briefing))
        return Prompt(system=self._system("correct", "step", briefing), user=user)

    def trajectory_ranking(
        self, trajectory: Trajectory, candidates: Sequence[Sequence[str]], briefing: Briefing
    ) -> Prompt:
        """Return the request to rank the ``candidates`` of each step of ``trajectory``."""
        facts = _facts(briefing)
        user = render(PACKAGE, "rank/trajectory.j2", trajectory=trajectory, candidates=candidates, facts=facts)
        return Prompt(system=self._system("rank", "trajectory", briefing), user=user)

    def step_ranking(self, view: View, candidates: Sequence[str], briefing: Briefing) -> Prompt:
        """Return the request to rank ``candidates`` in ``view``."""
        user = render(PACKAGE, "rank/step.j2", view=view, candidates=candidates, facts=_facts(briefing))
        return Prompt(system=self._system("rank", "step", briefing), user=user)

    def rule(self, briefing: Briefing) -> str:
        """Return the rule for using and disclosing facts, as the teacher reads it."""
        return render(PACKAGE, f"disclosure/{briefing.disclosure}.j2", environment=self._description)

    def _system(self, task: str, mode: str, briefing: Briefing) -> str:
        return render(
            PACKAGE,
            f"{task}/system.j2",
            environment=self._description,
            rule=self.rule(briefing),
            mode=mode,
            max_ranked=MAX_RANKED,
        )

    @cached_property
    def _description(self) -> object:
        """The variables that the environment's template sets."""
        loader = templates(PACKAGE)
        return (loader.from_string(self.environment) if self.environment else loader.get_template("any.j2")).module


def reason_prompt(view: View, action: str) -> Prompt:
    """Return the request for a reason to take ``action`` in ``view``. It contains nothing of later steps."""
    user = render(PACKAGE, "annotate/request.j2", view=view, action=action)
    return Prompt(system=render(PACKAGE, "annotate/system.j2"), user=user)


def facts_prompt(trajectory: Trajectory) -> Prompt:
    """Return the request for the facts about its task that ``trajectory`` reveals."""
    user = render(PACKAGE, "extract/request.j2", trajectory=trajectory)
    return Prompt(system=render(PACKAGE, "extract/system.j2"), user=user)


def _facts(briefing: Briefing) -> str | None:
    return None if briefing.facts is None else briefing.facts.text
