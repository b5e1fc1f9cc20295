"""Demonstrations as corrections without changes: what behaviour cloning starts from."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Briefing, Correction, Trajectory, views
from leap_exp.runs import RecordSpool
from leap_exp.stages.correct import brief

logger = logging.getLogger(__name__)


def imitate(
    demonstrations: Iterable[Trajectory], *, into: RecordSpool[Correction] | None = None
) -> Sequence[Correction]:
    """Return demonstrations as corrections without changes: those that succeeded with admissible actions only.

    Actions are imitated as the environment lists them. The corrections are written to ``into``, or None for a list.
    """
    corrections: RecordSpool[Correction] | list[Correction] = [] if into is None else into
    for trajectory in demonstrations:
        if not (trajectory.succeeded and all(step.is_valid for step in trajectory.steps)):
            continue
        correction = Correction(
            trajectory=trajectory,
            decisions=tuple(step.listed_decision for step in trajectory.steps),
            changed=(False,) * len(trajectory.steps),
            teacher_id=trajectory.policy_id,
            briefing=Briefing(disclosure=Disclosure.NONE, facts=None),
        )
        corrections.append(correction)
    return corrections


def with_briefings(
    demonstrations: Iterable[Correction],
    environment: Environment,
    disclosure: Disclosure,
    *,
    share: float,
    seed: int,
    into: RecordSpool[Correction] | None = None,
) -> Sequence[Correction]:
    """Return ``demonstrations``, of which a ``share`` is to be cloned with a briefing in the prompt.

    What is cloned there is what the oracle does that believes these facts, on the demonstration's history: the
    demonstration itself searches, so it would teach the student to ignore them. So the student learns to use the facts,
    as it must if it is to be its own teacher. A demonstration without facts or oracle stays as it is, with a warning.
    The results are written to ``into``, or None for a list.

    Raises:
        ConfigError: A control tells facts that no oracle can believe.
    """
    corrections: RecordSpool[Correction] | list[Correction] = [] if into is None else into
    for each in demonstrations:
        is_briefed = derive_seed(seed, "briefed", each.trajectory.task.id) % 10_000 < share * 10_000
        corrections.append(_with_briefing(each, environment, disclosure, seed=seed) if is_briefed else each)
    return corrections


def _with_briefing(
    demonstration: Correction, environment: Environment, disclosure: Disclosure, *, seed: int
) -> Correction:
    trajectory = demonstration.trajectory
    wording = derive_seed(seed, "oracle", trajectory.task.id)
    try:
        oracle = environment.of_teacher.oracle(trajectory.task)
        decisions = [
            oracle.decide(view, disclosure, seed=wording, taken=step.action)
            for view, step in zip(views(trajectory), trajectory.steps, strict=True)
        ]
        briefing = brief(environment, trajectory.task, disclosure)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - one broken task must not cost the run its demonstrations
        logger.warning("%s is cloned without facts: %s: %s", trajectory.task.id, type(error).__name__, error)
        return demonstration
    return replace(demonstration, decisions=tuple(decisions), briefing=briefing, briefed=True)
