"""A language model as teacher: it rewrites whole trajectories, or one step at a time."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import islice

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Trajectory, views
from leap_exp.llm import ChatClient
from leap_exp.prompts.teaching import CorrectionRenderer
from leap_exp.teachers.asking import Question, Unanswered, ask
from leap_exp.teachers.rewriting import STEP_SCHEMA, STEPS_SCHEMA, kept, read_decisions


class Mode(StrEnum):
    """How much a request holds."""

    TRAJECTORY = "trajectory"
    """All steps: the model sees how the trajectory went on and ended (as the paper's authors correct)."""
    STEP = "step"
    """One step with its history (as in the paper's self-improvement)."""


class LlmTeacher:
    """Corrects with a model behind a server.

    Where the model has no admissible action for a step, the student's decision stays, and the step counts as not
    corrected. A trajectory is a failure if that was not admissible either, so that nothing can stand there, or if the
    model has no admissible action for any of its steps.
    """

    def __init__(self, client: ChatClient, *, environment: str, mode: Mode, seed: int) -> None:
        """``seed`` is for the model's sampling; ``environment`` names the one whose trajectories are corrected."""
        self._client = client
        self._renderer = CorrectionRenderer(environment)
        self._mode = mode
        self._seed = seed

    @property
    def id(self) -> str:
        """The model's name and the mode."""
        return f"{self._client.endpoint.model}/{self._mode}"

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """One correction, or failure, a trajectory; the requests for all of them are sent together.

        Raises:
            ProviderError: the key, model or address is wrong, the budget is used up, or the server is down.
        """
        questions = [list(self._questions(*pair)) for pair in zip(trajectories, briefings, strict=True)]
        flat = [question for asked in questions for question in asked]
        answers = ask(self._client, flat, seed=self._seed)
        rest = iter(answers)
        return [
            self._result(trajectory, briefing, list(islice(rest, len(asked))))
            for trajectory, briefing, asked in zip(trajectories, briefings, questions, strict=True)
        ]

    def forecast(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """What it will cost if the first answers can be used; empty if there is nothing to correct."""
        pairs = zip(trajectories, briefings, strict=True)
        requests = [question.request(seed=self._seed) for pair in pairs for question in self._questions(*pair)]
        return self._client.forecast(requests) if requests else ""

    def account(self) -> Mapping[str, float]:
        """What the endpoint was asked since this was last called."""
        return self._client.account.close()

    def _questions(self, trajectory: Trajectory, briefing: Briefing) -> Iterator[Question[Sequence[Decision]]]:
        steps = trajectory.steps
        if self._mode is Mode.TRAJECTORY:
            prompt = self._renderer.trajectory(trajectory, briefing)
            yield Question(prompt=prompt, schema=STEPS_SCHEMA, read=partial(read_decisions, steps=steps))
            return
        for view, step in zip(views(trajectory), steps, strict=True):
            prompt = self._renderer.step(view, step.decision, briefing)
            yield Question(prompt=prompt, schema=STEP_SCHEMA, read=partial(read_decisions, steps=[step]))

    def _result(
        self, trajectory: Trajectory, briefing: Briefing, answers: Sequence[Sequence[Decision] | Unanswered]
    ) -> Correction | CorrectionFailure:
        try:
            decisions = settle(trajectory, answers)
        except ParseError as error:
            return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=str(error))
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing)


def settle(trajectory: Trajectory, answers: Sequence[Sequence[Decision] | Unanswered]) -> list[Decision]:
    """A decision for each step of ``trajectory`` from the answers on all of it, or on one step each.

    Raises:
        ParseError: there is no answer, or none on a step where the student's decision cannot stand.
    """
    unanswered = [answer for answer in answers if isinstance(answer, Unanswered)]
    if len(unanswered) == len(answers):
        raise ParseError(unanswered[0].error)
    settled: list[Decision] = []
    for answer in answers:
        settled += [kept(trajectory.steps[len(settled)])] if isinstance(answer, Unanswered) else answer
    return settled
