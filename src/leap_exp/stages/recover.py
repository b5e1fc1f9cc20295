"""Recover: take a trajectory up again at a corrected step, and let the teacher show what its correction leads to."""

import random
from collections.abc import Sequence
from dataclasses import replace

from leap_exp.core.environments import Environment
from leap_exp.core.errors import EnvError
from leap_exp.core.limits import StepLimit, step_limit
from leap_exp.core.protocols import ProgressCallback, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, CorrectionFailure, StopReason, Trajectory
from leap_exp.stages.mixture import ask
from leap_exp.stages.rollout import LiveEpisode


def recover(
    teacher: Teacher,
    environment: Environment,
    corrections: Sequence[Correction],
    *,
    steps: int,
    max_steps: StepLimit,
    batch: int,
    seed: int,
    on_progress: ProgressCallback,
) -> list[Correction | CorrectionFailure]:
    """Return demonstrations by the teacher that start at a mistake of the student, one per correction that has one.

    The mistake is drawn. The environment is brought there by the actions before it; then the teacher takes the
    corrected step and goes on. Only its own steps are learnt from.

    Args:
        teacher: Who corrected, and goes on.
        environment: Where. It must repeat itself exactly, given a seed and actions.
        corrections: The teacher's corrections.
        steps: How many steps the teacher takes after the corrected one, if the episode does not end before.
        max_steps: Steps after which an episode ends, the student's included.
        batch: Episodes at a time.
        seed: Seed of the draws and of the teacher.
        on_progress: Called with the number of finished episodes.
    """
    starts = [(each, start) for each in corrections if (start := _draw_mistake(each, seed)) is not None]
    results: list[Correction | CorrectionFailure] = []
    for first in range(0, len(starts), batch):
        chunk = starts[first : first + batch]
        results += _go_on(teacher, environment, chunk, steps=steps, max_steps=max_steps, seed=seed)
        on_progress(len(results), len(starts))
    return results


def resume(environment: Environment, trajectory: Trajectory, at: int, *, limit: int) -> LiveEpisode:
    """Return an episode in the state in which ``trajectory`` was before its step ``at``, by taking its actions again.

    Args:
        environment: Runs the episode.
        trajectory: What to repeat.
        at: Index of one of its steps.
        limit: Steps after which the episode ends, counted from its start; more than ``at``.

    Raises:
        EnvError: The environment crashed, or showed or gave something else than then.
    """
    episode = LiveEpisode(
        environment,
        trajectory.task,
        policy_id=trajectory.policy_id,
        sample=trajectory.sample,
        seed=trajectory.seed,
        limit=limit,
        max_repeats=None,
    )
    for step in trajectory.steps[:at]:
        if episode.stop is None:
            episode.step(step.decision, taken_by=step.taken_by)
    if episode.stop is None:
        view = episode.view()
        if (view.history, view.observation) == (trajectory.steps[:at], trajectory.steps[at].observation):
            return episode
    episode.close()
    raise EnvError(
        f"{trajectory.task.id} did not repeat itself up to step {at}, so it cannot be taken up again there; set "
        "correct.recovery_steps=0."
    )


def _draw_mistake(correction: Correction, seed: int) -> int | None:
    """Return one of the steps that the teacher changed, or None if there are none."""
    mistakes = [index for index, changed in enumerate(correction.changed) if changed]
    trajectory = correction.trajectory
    scope = ("recover", trajectory.task.id, trajectory.seed)
    return random.Random(derive_seed(seed, *scope)).choice(mistakes) if mistakes else None


def _go_on(
    teacher: Teacher,
    environment: Environment,
    starts: Sequence[tuple[Correction, int]],
    *,
    steps: int,
    max_steps: StepLimit,
    seed: int,
) -> list[Correction | CorrectionFailure]:
    """Let the teacher go on in all episodes at once, from the steps ``starts``."""
    live: list[LiveEpisode | EnvError] = []
    try:
        for correction, start in starts:
            most = step_limit(max_steps, correction.trajectory.task)
            try:
                episode = resume(environment, correction.trajectory, start, limit=min(most, start + 1 + steps))
                episode.step(correction.decisions[start], taken_by=teacher.id)
                live.append(episode)
            except EnvError as error:
                live.append(error)
        while acting := [
            (episode, correction)
            for episode, (correction, _) in zip(live, starts, strict=True)
            if isinstance(episode, LiveEpisode) and episode.stop is None
        ]:
            briefings = [correction.briefing for _, correction in acting]
            decisions = ask(teacher, [episode.view() for episode, _ in acting], briefings, seed=seed)
            for (episode, _), decision in zip(acting, decisions, strict=True):
                if decision is None:
                    episode.fail("The teacher had no decision.")
                else:
                    episode.step(decision, taken_by=teacher.id)
    finally:
        for each in live:
            if isinstance(each, LiveEpisode):
                each.close()
    return [_result(teacher, each, *start) for each, start in zip(live, starts, strict=True)]


def _result(
    teacher: Teacher, episode: LiveEpisode | EnvError, correction: Correction, start: int
) -> Correction | CorrectionFailure:
    """Return the continuation as a correction whose context are the steps before it."""
    ended = None if isinstance(episode, EnvError) else episode.trajectory()
    if ended is None or ended.stop is StopReason.INFRA_ERROR:
        error = str(episode) if ended is None else ended.error
        return CorrectionFailure(trajectory=correction.trajectory, teacher_id=teacher.id, error=error)
    trajectory = replace(ended, resumed_at=start)
    own = [step.decision for step in trajectory.steps]
    result = Correction.of(trajectory, own, teacher_id=teacher.id, briefing=correction.briefing, asked=())
    return replace(result, context_steps=tuple(sorted({*range(start), *result.context_steps})))
