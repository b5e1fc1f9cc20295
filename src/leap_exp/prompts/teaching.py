"""What a teacher that is a language model is asked: to correct, to give reasons, to extract facts."""

from dataclasses import dataclass
from functools import cached_property

from leap_exp.core.types import Briefing, Decision, Trajectory, View
from leap_exp.prompts.templating import render, templates


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The two messages of a request: what the model is to do, and with what."""

    system: str
    user: str

    def again(self, complaint: str) -> "Prompt":
        """The prompt of another try, which says why the last answer was of no use."""
        return Prompt(system=self.system, user=render("teacher/again.j2", request=self.user, complaint=complaint))


@dataclass(frozen=True)
class CorrectionRenderer:
    """Renders requests for corrections in one environment.

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
        return Prompt(system=self._system("trajectory", briefing), user=user)

    def step(self, view: View, taken: Decision, briefing: Briefing) -> Prompt:
        """The request to correct what was decided in ``view``."""
        user = render("teacher/correct/step.j2", view=view, decision=taken, facts=_facts(briefing))
        return Prompt(system=self._system("step", briefing), user=user)

    def rule(self, briefing: Briefing) -> str:
        """The rule for using and disclosing facts, as the teacher is told it."""
        return render(f"teacher/disclosure/{briefing.disclosure}.j2", environment=self._about)

    def _system(self, mode: str, briefing: Briefing) -> str:
        return render("teacher/correct/system.j2", environment=self._about, rule=self.rule(briefing), mode=mode)

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
