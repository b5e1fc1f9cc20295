"""The constrained teacher: both ends of beta, and between them."""

import math

import pytest

from leap_exp.core.environments import Oracle
from leap_exp.core.errors import ConfigError, ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Student, Teacher
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
from leap_exp.teachers.constrained import ConstrainedTeacher
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.teachers.self_teacher import SelfTeacher, Snapshot

FORK = Observation(text="A fork.", admissible_actions=("back", "left", "right", "up"))
SHELL = Observation(text="$", admissible_actions=None)
BRIEFING = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="fork", text="left"))
LOGPROBS = {"right": -0.5, "back": -1.0, "left": -3.0, "up": -4.0}
"""The student's log-probability of each action."""
BRIEFED_LOGPROBS = {"up": -0.25, "left": -1.5, "right": -4.0, "back": -6.0}
"""The same with the facts. It still goes left, because it writes token by token."""


def walk(*actions, observation=FORK, task_id="fork"):
    steps = tuple(
        Step(observation=observation, decision=Decision(reason="taken", action=action), reward=0.0)
        for action in actions
    )
    return Trajectory(
        task=Task(id=task_id, split="train", instruction="Get out.", kind="fork"),
        policy_id="student",
        seed=0,
        steps=steps,
        stop=StopReason.STEP_LIMIT,
        score=0.0,
    )


class ForkOracle(Oracle):
    """Goes left with the facts, back without. Of two equal actions it takes the one that is listed second."""

    def decide(self, view, disclosure, *, seed, taken=None):
        if view.task.id == "broken":
            raise ZeroDivisionError("no way")
        return Decision(reason=f"{disclosure}", action="back" if disclosure is Disclosure.NONE else "left")


class ValuingForkOracle(ForkOracle):
    def __init__(self, **steps_left):
        self._steps_left = {"up": 2, "left": 2, "right": 4, "back": 5, **steps_left}

    def action_values(self, view, disclosure):
        return (
            {}
            if disclosure is Disclosure.NONE
            else {action: -float(steps) for action, steps in self._steps_left.items()}
        )


class ForkEnvironment:
    def __init__(self, oracle):
        self._oracle = oracle

    def oracle(self, task):
        return self._oracle


class PlainStudent(Student):
    """Acts, and has no action probabilities."""

    id = "student"

    def act(self, views, *, seed):
        return [Decision(reason="own", action="right") for _ in views]

    def logprobs(self, corrections):
        raise AssertionError("is for training")

    def load(self, folder, *, policy_id):
        raise AssertionError("is for training")


class ForkStudent(PlainStudent):
    """Goes right, and with facts to where they say; records the actions that it scores."""

    def __init__(self):
        self.scored = []

    def advise(self, views, briefings):
        return [Decision(reason="briefed", action=briefing.facts.text) for briefing in briefings]

    def action_logprobs(self, views, actions, *, reasons, briefings=None):
        if briefings is not None:
            assert set(reasons) <= {"briefed", "taken"}
            return [{action: BRIEFED_LOGPROBS.get(action, -9.0) for action in options} for options in actions]
        self.scored += [(tuple(options), reason) for options, reason in zip(actions, reasons, strict=True)]
        return [{action: LOGPROBS.get(action, -9.0) for action in options} for options in actions]


def oracle_teacher(oracle=None):
    return OracleTeacher(ForkEnvironment(oracle or ForkOracle()), seed=0)


def constrained(inner, beta, *, by_student=True, student=None):
    teacher = ConstrainedTeacher(inner, beta=beta, by_student=by_student)
    return teacher.for_student(student or ForkStudent(), round_index=0)


def taught(teacher, trajectory=None):
    (correction,) = teacher.correct([trajectory or walk("right", "back")], [BRIEFING])
    assert isinstance(correction, Correction)
    return correction


INNER = {
    "deciding oracle": oracle_teacher,
    "valuing oracle": lambda: oracle_teacher(ValuingForkOracle()),
    "self": lambda: SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5),
    "model": lambda: Ranker(),
}


@pytest.mark.parametrize("by_student", [True, False])
@pytest.mark.parametrize("name", INNER)
def test_at_beta_0_it_equals_the_inner_teacher(name, by_student):
    trajectory = walk("right", "left", "back", "up")
    inner = INNER[name]().for_student(ForkStudent(), round_index=0)
    teacher = constrained(inner, 0.0, by_student=by_student)
    (expected,) = inner.correct([trajectory], [BRIEFING])
    result = taught(teacher, trajectory)
    assert result.decisions == expected.decisions
    assert result.changed == expected.changed
    assert result.teacher_id == teacher.id == f"constrained/{inner.id}"


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("beta", [1e9, math.inf])
def test_at_large_beta_it_takes_the_actions_of_the_student(name, beta):
    result = taught(constrained(INNER[name](), beta), walk("right", "left", "back", "up"))
    assert [decision.action for decision in result.decisions] == ["right"] * 4
    assert result.changed == (False, True, True, True)


@pytest.mark.parametrize("beta", [1e9, math.inf])
def test_at_large_beta_with_reference_inner_it_takes_the_actions_of_the_inner_teacher_without_facts(beta):
    inner = oracle_teacher(ValuingForkOracle())
    (unbriefed,) = inner.correct([walk("right", "left")], [Briefing(disclosure=Disclosure.NONE, facts=None)])
    result = taught(constrained(inner, beta, by_student=False), walk("right", "left"))
    assert [d.action for d in result.decisions] == [d.action for d in unbriefed.decisions] == ["back", "back"]


@pytest.mark.parametrize(
    ("beta", "action"),
    # left: -2 - 3b, up: -2 - 4b, right: -4 - b/2, back: -5 - b; left and right meet at b = 0.8.
    [(0.79, "left"), (0.81, "right")],
)
def test_beta_is_the_cost_of_a_nat_in_steps(beta, action):
    result = taught(constrained(oracle_teacher(ValuingForkOracle()), beta), walk("up"))
    assert result.decisions[0].action == action


@pytest.mark.parametrize(("beta", "action"), [(0.39, "left"), (0.41, "right")])
def test_a_decision_without_action_values_counts_as_1_better_than_any_other_action(beta, action):
    assert taught(constrained(oracle_teacher(), beta), walk("up")).decisions[0].action == action


def test_an_action_that_loses_the_task_is_taken_only_at_infinite_beta():
    oracle = ValuingForkOracle(right=math.inf)
    assert taught(constrained(oracle_teacher(oracle), 1e9), walk("up")).decisions[0].action == "back"
    assert taught(constrained(oracle_teacher(oracle), math.inf), walk("up")).decisions[0].action == "right"


def test_a_decision_keeps_the_reason_of_its_author():
    inner = oracle_teacher(ValuingForkOracle())
    steps = walk("right", "back", "up")
    assert [d.reason for d in taught(constrained(inner, 0.0), steps).decisions] == ["p50"] * 3
    assert [d.reason for d in taught(constrained(inner, 9.0), steps).decisions] == ["taken", "own", "own"]


def test_all_admissible_actions_are_scored_after_the_students_own_reason():
    student = ForkStudent()
    taught(constrained(oracle_teacher(), 1.0, student=student), walk("up"))
    assert [(sorted(options), reason) for options, reason in student.scored] == [
        (sorted(FORK.admissible_actions), "own")
    ]


@pytest.mark.parametrize(
    "observation", [SHELL, Observation(text="Shop.", admissible_actions=("search[<query>]", "click[home]"))]
)
def test_if_free_text_is_admissible_only_proposed_actions_are_scored(observation):
    student = ForkStudent()
    inner = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    teacher = constrained(inner, 1.0, student=student)
    briefing = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="fork", text="search[red]"))
    (result,) = teacher.correct([walk("search[blue]", observation=observation)], [briefing])
    assert isinstance(result, Correction)
    ((options, _),) = student.scored
    expected = ["search[red]", "search[blue]"] + (["right"] if observation is SHELL else [])
    assert list(options) == expected


def test_a_failure_of_the_inner_teacher_affects_no_other_trajectory():
    teacher = constrained(oracle_teacher(), 1.0)
    results = teacher.correct([walk("left", task_id="broken"), walk("up")], [BRIEFING] * 2)
    assert isinstance(results[0], CorrectionFailure)
    assert isinstance(results[1], Correction)
    assert {result.teacher_id for result in results} == {teacher.id}


def test_a_student_as_inner_teacher_values_actions_by_their_probability_with_the_facts():
    # Briefed, left: 0 - 3b (no action has a higher value than its decision), up: 0 - 4b, right: -2.5 - b/2.
    teaching = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    assert taught(constrained(teaching, 0.99), walk("up")).decisions[0].action == "left"
    assert taught(constrained(teaching, 1.01), walk("up")).decisions[0].action == "right"


class Ranker(Teacher):
    """Replaces a language model: with the facts it ranks left before up, without them back before right."""

    id = "ranker"

    def __init__(self):
        self.batches = []

    def _ranking(self, briefing):
        return ("back", "right") if briefing.facts is None else ("left", "up")

    def correct(self, trajectories, briefings):
        if any(trajectory.task.id == "broke" for trajectory in trajectories):
            raise ProviderError("the budget is used up")
        return [
            CorrectionFailure(trajectory=trajectory, teacher_id=self.id, error="no answer")
            if briefing.facts is None and trajectory.task.id == "mute"
            else Correction.of(
                trajectory,
                [Decision(reason="ranked", action=self._ranking(briefing)[0])] * len(trajectory.steps),
                teacher_id=self.id,
                briefing=briefing,
            )
            for trajectory, briefing in zip(trajectories, briefings, strict=True)
        ]

    def action_values(self, corrections, candidates):
        self.batches.append(len(corrections))
        if any(correction.trajectory.task.id == "sold out" for correction in corrections):
            raise ProviderError("the budget is used up")
        ranked = [self._ranking(correction.briefing) for correction in corrections]
        return [
            [{a: -float(best.index(a)) if a in best else -2.0 for a in actions} for actions in each]
            for best, each in zip(ranked, candidates, strict=True)
        ]

    def usage(self):
        return {"replies_count": 3}

    def estimate(self, trajectories, briefings):
        without = sum(briefing.facts is None for briefing in briefings)
        return f"{len(trajectories)} requests, {without} without facts" if trajectories else ""


@pytest.mark.parametrize(
    ("beta", "action"),
    # With facts left 0, up 1, others 2 ranks down; without them back 0, right 1, others 2: left 2b, back 2.
    [(0.0, "left"), (0.99, "left"), (1.01, "back"), (math.inf, "back")],
)
def test_a_ranking_with_facts_is_traded_off_against_the_ranking_without(beta, action):
    assert taught(constrained(Ranker(), beta, by_student=False), walk("up")).decisions[0].action == action


def test_all_trajectories_are_ranked_in_one_batch():
    inner = Ranker()
    constrained(inner, 1.0).correct([walk("up"), walk("right", "left")], [BRIEFING] * 2)
    assert inner.batches == [2]


def test_a_failure_of_the_inner_teacher_without_facts_affects_no_other_trajectory():
    teacher = constrained(Ranker(), 1.0, by_student=False)
    mute, other = teacher.correct([walk("up", task_id="mute"), walk("up")], [BRIEFING] * 2)
    assert (mute.teacher_id, mute.error) == ("constrained/ranker", "Without facts: no answer")
    assert isinstance(other, Correction)


@pytest.mark.parametrize("name", ["broke", "sold out"])
def test_a_server_that_cannot_be_used_stops_the_round(name):
    with pytest.raises(ProviderError, match="the budget is used up"):
        constrained(Ranker(), 1.0).correct([walk("up"), walk("up", task_id=name)], [BRIEFING] * 2)


def test_usage_and_estimate_are_those_of_the_inner_teacher():
    trajectories, briefings = [walk("up"), walk("left")], [BRIEFING] * 2
    teacher = constrained(Ranker(), 1.0)
    assert teacher.estimate(trajectories, briefings) == (
        "2 requests, 0 without facts; about as many again to rank actions"
    )
    unbriefed = constrained(Ranker(), 1.0, by_student=False)
    assert unbriefed.estimate(trajectories, briefings).startswith("4 requests, 2 without facts;")
    assert unbriefed.estimate([], []) == ""
    assert teacher.usage() == {"replies_count": 3}
    free = constrained(oracle_teacher(), 1.0)
    assert (free.estimate(trajectories, briefings), free.usage()) == ("", {})


def test_a_student_without_action_probabilities_cannot_be_the_reference():
    teacher = ConstrainedTeacher(oracle_teacher(), beta=1.0, by_student=True)
    with pytest.raises(ConfigError, match="'student' cannot score actions"):
        teacher.for_student(PlainStudent(), round_index=0)
    (failure,) = teacher.correct([walk("left")], [BRIEFING])
    assert "before round 0" in failure.error
