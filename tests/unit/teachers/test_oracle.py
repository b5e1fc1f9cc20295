"""The oracle teacher: it corrects every step as the briefing allows."""

import pytest

from leap_exp.core.environments import Oracle
from leap_exp.core.errors import EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import (
    Briefing,
    Correction,
    CorrectionFailure,
    Decision,
    Observation,
    PrivilegedFacts,
    Step,
    StopReason,
    Task,
    Trajectory,
)
from leap_exp.teachers.oracle import OracleTeacher

BRIEFING = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="good", text="left"))
OBSERVATION = Observation(text="A fork.", admissible_actions=("left", "right"))


class ForkOracle(Oracle):
    """Always goes left; the reason lists the arguments."""

    def decide(self, view, disclosure, *, seed, taken=None):
        if view.task.id == "broken":
            raise ZeroDivisionError("no way")
        return Decision(reason=f"{disclosure} {len(view.history)} {seed} {taken}", action="left")


class ForkEnvironment:
    def oracle(self, task):
        if task.id == "lost":
            raise EnvError("lost is gone.")
        return ForkOracle()


def walk(task_id, *actions, policy_id="student"):
    steps = tuple(
        Step(observation=OBSERVATION, decision=Decision(reason="", action=action), reward=0.0) for action in actions
    )
    return Trajectory(
        task=Task(id=task_id, split="train", instruction="Get out.", kind="fork"),
        policy_id=policy_id,
        seed=0,
        steps=steps,
        stop=StopReason.STEP_LIMIT,
        score=0.0,
    )


def reasons(trajectory, *, seed=0, briefing=BRIEFING):
    (correction,) = OracleTeacher(ForkEnvironment(), seed=seed).correct([trajectory], [briefing])
    return [decision.reason for decision in correction.decisions]


def test_every_step_is_corrected_given_the_students_history_and_changes_are_marked():
    trajectory = walk("good", "right", "left", "jump")
    (correction,) = OracleTeacher(ForkEnvironment(), seed=0).correct([trajectory], [BRIEFING])
    assert isinstance(correction, Correction)
    assert [decision.action for decision in correction.decisions] == ["left"] * 3
    assert [decision.reason.split()[:2] for decision in correction.decisions] == [
        ["p50", "0"],
        ["p50", "1"],
        ["p50", "2"],
    ]
    assert [decision.reason.split()[-1] for decision in correction.decisions] == ["right", "left", "jump"]
    assert correction.changed == (True, False, True)
    assert correction.briefing is BRIEFING


def test_the_oracle_gets_the_disclosure_of_the_briefing():
    blind = Briefing(disclosure=Disclosure.NONE, facts=None)
    assert reasons(walk("good", "right"), briefing=blind)[0].startswith("none ")


def test_reasons_are_reproducible_and_vary_with_seed_and_policy():
    first = walk("good", "right")
    assert reasons(first) == reasons(first)
    assert reasons(first) != reasons(first, seed=1)
    assert reasons(first) != reasons(walk("good", "right", policy_id="student-1"))


@pytest.mark.parametrize(("task_id", "message"), [("broken", "ZeroDivisionError: no way"), ("lost", "lost is gone")])
def test_an_error_of_the_oracle_fails_only_its_own_trajectory(task_id, message):
    bad, good = walk(task_id, "right"), walk("good", "right")
    results = OracleTeacher(ForkEnvironment(), seed=0).correct([bad, good], [BRIEFING, BRIEFING])
    assert isinstance(results[0], CorrectionFailure)
    assert message in results[0].error
    assert results[0].trajectory is bad
    assert isinstance(results[1], Correction)
