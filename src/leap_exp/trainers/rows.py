"""From corrections to the rows that an objective needs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from leap_exp.core.errors import ConfigError
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Decision
from leap_exp.tokens.briefed import BriefedCodec
from leap_exp.tokens.codec import PromptCodec
from leap_exp.tokens.spans import NO_DECISIONS, Role, Row, training_rows
from leap_exp.trainers.choices import Steps

logger = logging.getLogger(__name__)

COMPARED = frozenset({Role.OWN, Role.TAUGHT})
"""Roles of spans that are compared with a teacher model."""


def learning_rows(
    corrections: Sequence[Correction],
    codec: PromptCodec,
    roles: frozenset[Role],
    *,
    steps: Steps = Steps.ALL,
    max_changed_steps: int | None = None,
    only_admissible: bool = False,
    seed: int = 0,
) -> list[Row]:
    """Return the rows of ``corrections`` with the spans of ``roles``.

    Only corrections with facts are compared with a teacher model: without facts it knows no more than the student. A
    row whose briefing is too long for the prompt is left out.

    Args:
        corrections: What to learn from.
        codec: The student's prompts and responses.
        roles: The roles of spans.
        steps: Which steps to learn from.
        max_changed_steps: See ``trained_steps``.
        only_admissible: With ``Role.OWN``, leave out steps at which the student's own action was not admissible.
        seed: Draws mismatched responses.
    """
    decisions = _all_decisions(corrections) if Role.MISMATCHED in roles else []
    rows: list[Row] = []
    too_long = 0
    for correction in corrections:
        learnt = trained_steps(correction, max_changed_steps)
        if steps is Steps.CHANGED:
            learnt &= changed_steps(correction)
        if only_admissible:
            learnt = frozenset(index for index in learnt if correction.trajectory.steps[index].is_valid)
        mismatched = _mismatched(correction, learnt, decisions, codec, seed) if decisions else NO_DECISIONS
        wanted = roles if correction.briefing.facts else roles - COMPARED
        own_codec = BriefedCodec(codec).of(correction) if correction.briefed else codec
        for row in training_rows(correction, own_codec, steps=learnt, roles=wanted, mismatched=mismatched):
            try:
                rows.append(_with_briefed(row, correction, codec, wanted & COMPARED))
            except ConfigError:
                too_long += 1
    if too_long:
        logger.warning("%d rows are not trained on, because their briefing leaves no room in the prompt.", too_long)
    return rows


def trained_steps(correction: Correction, max_changed_steps: int | None) -> frozenset[int]:
    """Return the steps up to the ``max_changed_steps``-th that the teacher changed, or all steps for None.

    A student that has gone wrong keeps going wrong. Late steps lie in states that a better student never sees, and
    their corrections repeat the same advice to go back. A better student must avoid the first changed steps.
    """
    changed = sorted(changed_steps(correction))
    if max_changed_steps is None or len(changed) < max_changed_steps:
        return frozenset(range(len(correction.changed)))
    return frozenset(range(changed[max_changed_steps - 1] + 1))


def changed_steps(correction: Correction) -> frozenset[int]:
    """Return the steps at which the teacher took another action."""
    return frozenset(index for index, is_changed in enumerate(correction.changed) if is_changed)


def _with_briefed(row: Row, correction: Correction, codec: PromptCodec, roles: frozenset[Role]) -> Row:
    """Return ``row`` with rows that score the spans of ``roles`` after prompts with the briefing."""
    if not roles:
        return row
    steps = frozenset(span.step for span in row.spans)
    briefed = training_rows(correction, BriefedCodec(codec).of(correction), steps=steps, roles=roles)
    return replace(row, briefed=tuple(briefed))


def _all_decisions(corrections: Sequence[Correction]) -> list[Decision]:
    """Return the teacher's and the student's own decisions at all changed steps, each once, in their order."""
    found = {
        decision: None
        for correction in corrections
        for index in sorted(changed_steps(correction))
        for decision in (correction.decisions[index], correction.trajectory.steps[index].decision)
    }
    return list(found)


def _mismatched(
    correction: Correction, steps: frozenset[int], decisions: Sequence[Decision], codec: PromptCodec, seed: int
) -> Mapping[int, Decision]:
    """Return a decision of another step for each of ``steps``: one that could be taken there, if there is one.

    A student that is restricted to the admissible actions gives no other action a probability.
    """
    drawn = {}
    for index in sorted(steps):
        step = correction.trajectory.steps[index]
        own = (correction.decisions[index], step.decision)
        place = derive_seed(seed, "mismatched", correction.trajectory.task.id, correction.trajectory.seed, index)
        first = place % len(decisions)
        for decision in (*decisions[first:], *decisions[:first]):
            if decision not in own and (not codec.restricted or step.observation.admits(decision.action)):
                drawn[index] = decision
                break
    return drawn
