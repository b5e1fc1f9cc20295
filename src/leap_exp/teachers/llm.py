"""A language model as teacher: it corrects whole trajectories, or one step at a time, and ranks actions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TypeVar

from leap_exp.core.errors import ParseError
from leap_exp.core.protocols import Teacher
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    EnvironmentPrompts,
    Step,
    Task,
    Trajectory,
    views,
)
from leap_exp.llm import ChatClient
from leap_exp.teachers.answers import (
    RANKING_SCHEMA,
    RANKINGS_SCHEMA,
    STEP_SCHEMA,
    STEPS_SCHEMA,
    Question,
    Unanswered,
    ask,
    kept_decision,
    rank_values,
    read_decisions,
    read_rankings,
)
from leap_exp.teachers.prompts import TeachingRenderer

T = TypeVar("T")


class CorrectionMode(StrEnum):
    """How much one request covers."""

    TRAJECTORY = "trajectory"
    """All steps. The model sees how the trajectory went on and ended, as in the paper's main experiments."""
    STEP = "step"
    """One step with its history, as in the paper's self-improvement."""


class LlmTeacher(Teacher):
    """Corrects with a model behind a server.

    At a step where the model names no admissible action, the student's decision is kept and the step counts as
    unchanged. The correction fails if the student's action was inadmissible too, or if this happens at every step.

    Args:
        client: The model.
        prompts: How models are told about the environment whose trajectories are corrected.
        mode: What one request covers.
        seed: Seed of the model's sampling.
    """

    def __init__(self, client: ChatClient, prompts: EnvironmentPrompts, *, mode: CorrectionMode, seed: int) -> None:
        self.id = f"{client.endpoint.model}/{mode}"
        self.concurrency = client.concurrency
        self._client = client
        self._prompts = prompts
        self._renderers: dict[str, TeachingRenderer] = {}
        self._mode = mode
        self._seed = seed

    def correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return one correction or failure per trajectory. All requests are sent at once.

        Raises:
            ProviderError: The key, model or address is wrong, the budget is used up, or the server is down.
        """
        return self._correct(trajectories, briefings, [range(len(each.steps)) for each in trajectories])

    def correct_steps(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing], steps: Sequence[Collection[int]]
    ) -> Sequence[Correction | CorrectionFailure]:
        """Return the same for the given ``steps``; only with mode=step do the other steps cost no requests."""
        if self._mode is CorrectionMode.TRAJECTORY:
            return super().correct_steps(trajectories, briefings, steps)
        return self._correct(trajectories, briefings, list(map(sorted, steps)))

    def _correct(
        self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing], steps: Sequence[Sequence[int]]
    ) -> Sequence[Correction | CorrectionFailure]:
        answers = self._ask(list(map(self._questions, trajectories, briefings, steps)))
        return list(map(self._result, trajectories, briefings, steps, answers))

    def action_values(
        self, corrections: Sequence[Correction], candidates: Sequence[Sequence[Sequence[str]]]
    ) -> Sequence[Sequence[Mapping[str, float]]]:
        """Return minus the rank of each action in the model's ranking, which its own decision leads.

        A step without a usable ranking has an empty mapping.

        Raises:
            ProviderError: As in ``correct``.
        """
        # Sorted, so that the order does not reveal who proposed an action.
        listed = [[sorted(actions) for actions in each] for each in candidates]
        answers = self._ask(list(map(self._ranking_questions, corrections, listed)))
        return list(map(self._values, corrections, candidates, answers))

    def estimate(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> str:
        """Describe the cost if every first answer is usable; empty if there is nothing to correct."""
        steps = (range(len(trajectory.steps)) for trajectory in trajectories)
        questions = map(self._questions, trajectories, briefings, steps)
        requests = (question.request(seed=self._seed) for each in questions for question in each)
        return self._client.estimate(requests) if briefings else ""

    def usage(self) -> Mapping[str, float]:
        """Return the endpoint's usage since the last call."""
        return self._client.take_usage()

    def _ask(self, questions: Sequence[Iterator[Question[T]]]) -> list[list[T | Unanswered]]:
        """Return the answers to each trajectory's questions; all questions are asked at once."""
        listed = list(map(list, questions))
        flat: list[Question[T]] = [question for each in listed for question in each]
        answers = ask(self._client, flat, seed=self._seed)
        rest = iter(answers)
        return [list(islice(rest, len(each))) for each in listed]

    def _renderer(self, task: Task) -> TeachingRenderer:
        """Return the renderer of requests about the environment of ``task``."""
        if task.environment not in self._renderers:
            self._renderers[task.environment] = TeachingRenderer(self._prompts.of(task).teacher)
        return self._renderers[task.environment]

    def _questions(
        self, trajectory: Trajectory, briefing: Briefing, asked: Sequence[int]
    ) -> Iterator[Question[Sequence[Decision]]]:
        steps = trajectory.steps
        if self._mode is CorrectionMode.TRAJECTORY:
            prompt = self._renderer(trajectory.task).trajectory(trajectory, briefing)
            yield Question(prompt=prompt, schema=STEPS_SCHEMA, read=partial(read_decisions, steps=steps))
            return
        all_views, renderer = views(trajectory), self._renderer(trajectory.task)
        for index in asked:
            prompt = renderer.step(all_views[index], steps[index].decision, briefing)
            read = partial(read_decisions, steps=[steps[index]])
            yield Question(prompt=prompt, schema=STEP_SCHEMA, read=read, conversation=trajectory.task.id)

    def _ranking_questions(
        self, correction: Correction, candidates: Sequence[Sequence[str]]
    ) -> Iterator[Question[list[list[str]]]]:
        trajectory, briefing = correction.trajectory, correction.briefing
        renderer = self._renderer(trajectory.task)
        if self._mode is CorrectionMode.TRAJECTORY:
            prompt = renderer.trajectory_ranking(trajectory, candidates, briefing)
            yield Question(prompt=prompt, schema=RANKINGS_SCHEMA, read=partial(read_rankings, candidates=candidates))
            return
        for view, actions in zip(views(trajectory), candidates, strict=True):
            prompt = renderer.step_ranking(view, actions, briefing)
            yield Question(prompt=prompt, schema=RANKING_SCHEMA, read=partial(read_rankings, candidates=[actions]))

    def _values(
        self,
        correction: Correction,
        candidates: Sequence[Sequence[str]],
        answers: Sequence[list[list[str]] | Unanswered],
    ) -> list[Mapping[str, float]]:
        """Return the action values at each step, from one answer for all steps or one per step."""
        rankings: list[list[str]] = []
        for answer in answers:
            unranked: list[list[str]] = [[]] * (len(candidates) // len(answers))
            rankings += unranked if isinstance(answer, Unanswered) else answer
        return [
            rank_values(decision.action, ranking, actions) if ranking else {}
            for decision, ranking, actions in zip(correction.decisions, rankings, candidates, strict=True)
        ]

    def _result(
        self,
        trajectory: Trajectory,
        briefing: Briefing,
        asked: Sequence[int],
        answers: Sequence[Sequence[Decision] | Unanswered],
    ) -> Correction | CorrectionFailure:
        decisions = [step.decision for step in trajectory.steps]
        try:
            settled = _settled([trajectory.steps[index] for index in asked], answers)
        except ParseError as error:
            return CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error=str(error))
        for index, decision in zip(asked, settled, strict=True):
            decisions[index] = decision
        return Correction.of(trajectory, decisions, teacher_id=self.id, briefing=briefing, asked=asked)


def _settled(steps: Sequence[Step], answers: Sequence[Sequence[Decision] | Unanswered]) -> list[Decision]:
    """Return a decision for each of ``steps``, from one answer for all of them or one for each.

    Raises:
        ParseError: There is no answer at all, or none for a step where the student's decision cannot be kept.
    """
    unanswered = [answer for answer in answers if isinstance(answer, Unanswered)]
    if len(unanswered) == len(answers):
        raise ParseError(unanswered[0].error)
    settled: list[Decision] = []
    for answer in answers:
        settled += [kept_decision(steps[len(settled)])] if isinstance(answer, Unanswered) else answer
    return settled
