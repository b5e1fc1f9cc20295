"""A small made-up correction."""

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    Decision,
    Observation,
    PrivilegedFacts,
    Step,
    StopReason,
    Task,
    Trajectory,
)

TASK = Task(id="alfworld/1", split="train", instruction="put a mug in shelf.", kind="pick_and_place_simple")

FACTS = PrivilegedFacts(
    task_id=TASK.id,
    text="The mug is in cabinet 4.",
    data={"hidden_names": ["mug 1", "mug 2", "plate 1"], "locations": {"mug 2": "cabinet 4"}},
)


@pytest.fixture
def task():
    """The task of the made-up records."""
    return TASK


@pytest.fixture
def facts():
    """The privileged facts of that task."""
    return FACTS


@pytest.fixture
def correct():
    """Build a correction from (observation text, student's action, teacher's decision) triples."""

    def build(*rows: tuple[str, str, Decision]) -> Correction:
        steps = tuple(
            Step(
                observation=Observation(text=text, admissible_actions=None),
                decision=Decision(reason="", action=action),
                reward=0.0,
            )
            for text, action, _ in rows
        )
        return Correction(
            trajectory=Trajectory(task=TASK, policy_id="p", seed=0, steps=steps, stop=StopReason.STEP_LIMIT, score=0.0),
            decisions=tuple(decision for _, _, decision in rows),
            changed=tuple(action != decision.action for _, action, decision in rows),
            teacher_id="t",
            briefing=Briefing(disclosure=Disclosure.P100, facts=FACTS),
        )

    return build
