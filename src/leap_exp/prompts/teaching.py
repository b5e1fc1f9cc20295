"""What a teacher that is a language model is asked: to correct, to rank actions, to give reasons, to extract facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from leap_exp.core.types import Briefing, Decision, Trajectory, View
from leap_exp.prompts.templating import render, templates

MOST_RANKED = 5
"""Actions of a step that a ranking may name: what comes after those is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The two messages of a request: what the model is to do, and with what."""

    system: str
    user: str

    def again(self, complaint: str) -> "Prompt":
        """The prompt of another try, which says why the last answer was of no use."""
        return Prompt(system=self.system, user=render("teacher/again.j2", request=self.user, complaint=complaint))


@dataclass(frozen=True)
class TeachingRenderer:
    """Renders requests for corrections, and for rankings of actions, in one environment.

    The facts stand in the user's message and the rule for using them in the system's, so prompts that differ in the
    disclosure alone differ in the rule alone; ``Disclosure.NONE`` has no facts.

    Attributes:
        environment: Name of the environment; what it is about is ``templates/teacher/environment/<environment>.j2``, or
            ``any.j2`` for one that has none.
    """

    environment: str

    def trajectory(self, trajectory: Trajectory, briefing: Briefing) -> Prompt:
        """The request to correct all steps of ``trajectory`` at once."""
        user = render("teacher/correct/trajectory.j2", trajectory=trajectory, facts=_facts(briefing))
        return Prompt(system=self._system("correct", "trajectory", briefing), user=user)

    def step(self, view: View, taken: Decision, briefing: Briefing) -> Prompt:
        """The request to correct what was decided in ``view``."""
        user = render("teacher/correct/step.j2", view=view, decision=taken, facts=_facts(briefing))
        return Prompt(system=self._system("correct", "step", briefing), user=user)

    def ranking_of_trajectory(
        self, trajectory: Trajectory, candidates: Sequence[Sequence[str]], briefing: Briefing
    ) -> Prompt:
        """The request to rank the ``candidates`` of each step of ``trajectory``."""
        facts = _facts(briefing)
        user = render("teacher/rank/trajectory.j2", trajectory=trajectory, candidates=candidates, facts=facts)
        return Prompt(system=self._system("rank", "trajectory", briefing), user=user)

    def ranking_of_step(self, view: View, candidates: Sequence[str], briefing: Briefing) -> Prompt:
        """The request to rank ``candidates`` in ``view``."""
        user = render("teacher/rank/step.j2", view=view, candidates=candidates, facts=_facts(briefing))
        return Prompt(system=self._system("rank", "step", briefing), user=user)

    def rule(self, briefing: Briefing) -> str:
        """The rule for using and disclosing facts, as the teacher is told it."""
        return render(f"teacher/disclosure/{briefing.disclosure}.j2", environment=self._about)

    def _system(self, request: str, mode: str, briefing: Briefing) -> str:
        about, rule = self._about, self.rule(briefing)
        return render(f"teacher/{request}/system.j2", environment=about, rule=rule, mode=mode, most_ranked=MOST_RANKED)

    @cached_property
    def _about(self) -> object:
        folder = "teacher/environment"
        return templates().select_template([f"{folder}/{self.environment}.j2", f"{folder}/any.j2"]).module


def reason_prompt(view: View, action: str) -> Prompt:
    """The request for a reason why ``action`` is taken in ``view``; it holds nothing that comes later."""
    user = render("teacher/annotate/request.j2", view=view, action=action)
    return Prompt(system=render("teacher/annotate/system.j2"), user=user)


def facts_prompt(trajectory: Trajectory) -> Prompt:
    """The request for what ``trajectory`` brings to light about its task."""
    user = render("teacher/extract/request.j2", trajectory=trajectory)
    return Prompt(system=render("teacher/extract/system.j2"), user=user)


def _facts(briefing: Briefing) -> str | None:
    return None if briefing.facts is None else briefing.facts.text
