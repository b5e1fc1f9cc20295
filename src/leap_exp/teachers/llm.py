"""A language model as teacher: it rewrites whole trajectories, or one step at a time, and ranks actions."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TypeVar

from leap_exp.core.errors import ParseError
from leap_exp.core.types import Briefing, Correction, CorrectionFailure, Decision, Trajectory, views
from leap_exp.llm import ChatClient
from leap_exp.prompts.teaching import TeachingRenderer
from leap_exp.teachers.asking import Question, Unanswered, ask
from leap_exp.teachers.ranking import RANKING_SCHEMA, RANKINGS_SCHEMA, place_values, read_rankings
from leap_exp.teachers.rewriting import STEP_SCHEMA, STEPS_SCHEMA, kept, read_decisions

T = TypeVar("T")


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
        self._renderer = TeachingRenderer(environment)
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
        answers = self._ask(list(map(self._questions, trajectories, briefings)))
        return list(map(self._result, trajectories, briefings, answers))

    def values(
        self, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """The places, from 0 and negated, in the model's ranking, which its own decision leads; empty without one.

        Raises:
            ProviderError: as ``correct`` does.
        """
        # In an order that does not tell which action was whose.
        listed = [[sorted(actions) for actions in each] for each in candidates]
        answers = self._ask(list(map(self._rankings, corrections, listed)))
        return list(map(self._places, corrections, candidates, answers))

    def forecast(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """What it will cost if the first answers can be used; empty if there is nothing to correct."""
        questions = map(self._questions, trajectories, briefings)
        requests = [question.request(seed=self._seed) for asked in questions for question in asked]
        return self._client.forecast(requests) if requests else ""

    def account(self) -> Mapping[str, float]:
        """What the endpoint was asked since this was last called."""
        return self._client.account.close()

    def _ask(self, questions: Sequence[Iterator[Question[T]]]) -> list[list[T | Unanswered]]:
        """The answers to each trajectory's questions; all of them are asked together."""
        asked = list(map(list, questions))
        flat: list[Question[T]] = [question for each in asked for question in each]
        answers = ask(self._client, flat, seed=self._seed)
        rest = iter(answers)
        return [list(islice(rest, len(each))) for each in asked]

    def _questions(self, trajectory: Trajectory, briefing: Briefing) -> Iterator[Question[Sequence[Decision]]]:
        steps = trajectory.steps
        if self._mode is Mode.TRAJECTORY:
            prompt = self._renderer.trajectory(trajectory, briefing)
            yield Question(prompt=prompt, schema=STEPS_SCHEMA, read=partial(read_decisions, steps=steps))
            return
        for view, step in zip(views(trajectory), steps, strict=True):
            prompt = self._renderer.step(view, step.decision, briefing)
            yield Question(prompt=prompt, schema=STEP_SCHEMA, read=partial(read_decisions, steps=[step]))

    def _rankings(
        self, correction: Correction, candidates: Sequence[Sequence[str]]
    ) -> Iterator[Question[list[list[str]]]]:
        trajectory, briefing = correction.trajectory, correction.briefing
        if self._mode is Mode.TRAJECTORY:
            prompt = self._renderer.ranking_of_trajectory(trajectory, candidates, briefing)
            yield Question(prompt=prompt, schema=RANKINGS_SCHEMA, read=partial(read_rankings, candidates=candidates))
            return
        for view, actions in zip(views(trajectory), candidates, strict=True):
            prompt = self._renderer.ranking_of_step(view, actions, briefing)
            yield Question(prompt=prompt, schema=RANKING_SCHEMA, read=partial(read_rankings, candidates=[actions]))

    def _places(
        self,
        correction: Correction,
        candidates: Sequence[Sequence[str]],
        answers: Sequence[list[list[str]] | Unanswered],
    ) -> list[Mapping[str, float]]:
        """What each step's actions are worth, from the answers on all steps, or on one each."""
        rankings: list[list[str]] = []
        for answer in answers:
            unranked: list[list[str]] = [[]] * (len(candidates) // len(answers))
            rankings += unranked if isinstance(answer, Unanswered) else answer
        return [
            place_values(decision.action, ranking, actions) if ranking else {}
            for decision, ranking, actions in zip(correction.decisions, rankings, candidates, strict=True)
        ]

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
