"""The constrained teacher: both ends of beta exactly, and what lies between."""

import math

import pytest

from leap_exp.core.errors import ConfigError, ProviderError
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
from leap_exp.teachers.constrained import ConstrainedTeacher
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.teachers.self_privileged import SelfTeacher, Snapshot
from tests.toy import ToyStudent

FORK = Observation(text="A fork.", admissible_actions=("back", "left", "right", "up"))
SHELL = Observation(text="$", admissible_actions=None)
BRIEFING = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="fork", text="left"))
LOGPROBS = {"right": -0.5, "back": -1.0, "left": -3.0, "up": -4.0}
"""What the student gives each action."""
TOLD_LOGPROBS = {"up": -0.25, "left": -1.5, "right": -4.0, "back": -6.0}
"""What it gives them with the facts, by which it goes left all the same: it writes word by word."""


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


class ForkOracle:
    """Left with the facts, back without; of two equal ways the one it takes is not the first listed."""

    def decide(self, view, disclosure, *, seed, taken=None):
        if view.task.id == "broken":
            raise ZeroDivisionError("no way")
        return Decision(reason=f"{disclosure}", action="back" if disclosure is Disclosure.NONE else "left")


class ValuingForkOracle(ForkOracle):
    def __init__(self, **steps_left):
        self._steps_left = {"up": 2, "left": 2, "right": 4, "back": 5, **steps_left}

    def values(self, view, disclosure):
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


class ForkStudent:
    """Goes right, and with facts to where they say; notes what it is asked to weigh."""

    id = "student"

    def __init__(self):
        self.weighed = []

    def act(self, views, *, seed):
        return [Decision(reason="own", action="right") for _ in views]

    def logprobs(self, corrections):
        raise AssertionError("is for training")

    def load(self, folder, *, policy_id):
        raise AssertionError("is for training")

    def averaged(self, students, shares, *, policy_id):
        raise AssertionError("is for ema")

    def advise(self, views, briefings):
        return [Decision(reason="told", action=briefing.facts.text) for briefing in briefings]

    def action_logprobs(self, views, actions, *, reasons, briefings=None):
        if briefings is not None:
            assert set(reasons) <= {"told", "taken"}
            return [{action: TOLD_LOGPROBS.get(action, -9.0) for action in asked} for asked in actions]
        self.weighed += [(tuple(asked), reason) for asked, reason in zip(actions, reasons, strict=True)]
        return [{action: LOGPROBS.get(action, -9.0) for action in asked} for asked in actions]


def oracle_teacher(oracle=None):
    return OracleTeacher(ForkEnvironment(oracle or ForkOracle()), seed=0)


def constrained(inner, beta, *, by_student=True, student=None):
    teacher = ConstrainedTeacher(inner, beta=beta, by_student=by_student)
    teacher.follow(student or ForkStudent(), round_index=0)
    return teacher


def taught(teacher, trajectory=None):
    (correction,) = teacher.correct([trajectory or walk("right", "back")], [BRIEFING])
    assert isinstance(correction, Correction)
    return correction


INNER = {
    "ranking oracle": oracle_teacher,
    "valuing oracle": lambda: oracle_teacher(ValuingForkOracle()),
    "self": lambda: SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5),
    "model": lambda: Ranker(),
}


@pytest.mark.parametrize("by_student", [True, False])
@pytest.mark.parametrize("name", INNER)
def test_at_beta_0_it_is_the_inner_teacher(name, by_student):
    trajectory = walk("right", "left", "back", "up")
    inner = INNER[name]()
    teacher = constrained(inner, 0.0, by_student=by_student)
    (expected,) = inner.correct([trajectory], [BRIEFING])
    result = taught(teacher, trajectory)
    assert result.decisions == expected.decisions
    assert result.changed == expected.changed
    assert result.teacher_id == teacher.id == f"constrained/{inner.id}"


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("beta", [1e9, math.inf])
def test_as_beta_grows_it_becomes_the_unprivileged_policy(name, beta):
    result = taught(constrained(INNER[name](), beta), walk("right", "left", "back", "up"))
    assert [decision.action for decision in result.decisions] == ["right"] * 4
    assert result.changed == (False, True, True, True)


@pytest.mark.parametrize("beta", [1e9, math.inf])
def test_as_beta_grows_with_the_inner_teacher_as_reference_it_becomes_that_one_without_facts(beta):
    inner = oracle_teacher(ValuingForkOracle())
    (unbriefed,) = inner.correct([walk("right", "left")], [Briefing(disclosure=Disclosure.NONE, facts=None)])
    result = taught(constrained(inner, beta, by_student=False), walk("right", "left"))
    assert [d.action for d in result.decisions] == [d.action for d in unbriefed.decisions] == ["back", "back"]


@pytest.mark.parametrize(
    ("beta", "action"),
    # left: -2 - 3b, up: -2 - 4b, right: -4 - b/2, back: -5 - b; left and right meet at b = 0.8.
    [(0.79, "left"), (0.81, "right")],
)
def test_beta_says_how_many_steps_a_nat_is_worth(beta, action):
    result = taught(constrained(oracle_teacher(ValuingForkOracle()), beta), walk("up"))
    assert result.decisions[0].action == action


@pytest.mark.parametrize(("beta", "action"), [(0.39, "left"), (0.41, "right")])
def test_a_teacher_that_only_decides_is_worth_1_where_it_is_followed(beta, action):
    assert taught(constrained(oracle_teacher(), beta), walk("up")).decisions[0].action == action


def test_an_action_that_loses_the_task_is_taken_only_where_likelihood_is_all_that_counts():
    oracle = ValuingForkOracle(right=math.inf)
    assert taught(constrained(oracle_teacher(oracle), 1e9), walk("up")).decisions[0].action == "back"
    assert taught(constrained(oracle_teacher(oracle), math.inf), walk("up")).decisions[0].action == "right"


def test_a_decision_comes_with_the_reason_of_whoever_made_it():
    inner = oracle_teacher(ValuingForkOracle())
    steps = walk("right", "back", "up")
    assert [d.reason for d in taught(constrained(inner, 0.0), steps).decisions] == ["p50"] * 3
    assert [d.reason for d in taught(constrained(inner, 9.0), steps).decisions] == ["taken", "own", "own"]


def test_all_admissible_actions_are_weighed_after_the_student_s_own_reason():
    student = ForkStudent()
    taught(constrained(oracle_teacher(), 1.0, student=student), walk("up"))
    assert [(sorted(asked), reason) for asked, reason in student.weighed] == [(sorted(FORK.admissible_actions), "own")]


@pytest.mark.parametrize(
    "observation", [SHELL, Observation(text="Shop.", admissible_actions=("search[<query>]", "click[home]"))]
)
def test_where_a_text_can_be_given_only_what_somebody_proposes_is_weighed(observation):
    student = ForkStudent()
    inner = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    teacher = constrained(inner, 1.0, student=student)
    briefing = Briefing(disclosure=Disclosure.P50, facts=PrivilegedFacts(task_id="fork", text="search[red]"))
    (result,) = teacher.correct([walk("search[blue]", observation=observation)], [briefing])
    assert isinstance(result, Correction)
    ((asked, _),) = student.weighed
    expected = ["search[red]", "search[blue]"] + (["right"] if observation is SHELL else [])
    assert list(asked) == expected


def test_what_the_inner_teacher_cannot_correct_stays_a_failure_and_costs_no_other_its_correction():
    teacher = constrained(oracle_teacher(), 1.0)
    results = teacher.correct([walk("left", task_id="broken"), walk("up")], [BRIEFING] * 2)
    assert isinstance(results[0], CorrectionFailure)
    assert isinstance(results[1], Correction)
    assert {result.teacher_id for result in results} == {teacher.id}


def test_a_student_as_inner_teacher_is_followed_as_far_as_it_is_surer_with_the_facts():
    # Told, left: 0 - 3b (nothing is worth more than what it does), up: 0 - 4b, right: -2.5 - b/2.
    teaching = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    assert taught(constrained(teaching, 0.99), walk("up")).decisions[0].action == "left"
    assert taught(constrained(teaching, 1.01), walk("up")).decisions[0].action == "right"


class Ranker:
    """A language model's stand-in: with the facts left before up, without them back before right."""

    id = "ranker"

    def __init__(self):
        self.asked = []

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

    def values(self, corrections, candidates):
        self.asked.append(len(corrections))
        if any(correction.trajectory.task.id == "sold out" for correction in corrections):
            raise ProviderError("the budget is used up")
        ranked = [self._ranking(correction.briefing) for correction in corrections]
        return [
            [{a: -float(best.index(a)) if a in best else -2.0 for a in actions} for actions in each]
            for best, each in zip(ranked, candidates, strict=True)
        ]

    def account(self):
        return {"replies_count": 3}

    def forecast(self, trajectories, briefings):
        without = sum(briefing.facts is None for briefing in briefings)
        return f"{len(trajectories)} requests, {without} without facts" if trajectories else ""


@pytest.mark.parametrize(
    ("beta", "action"),
    # With facts left 0, up 1, others 2 places down; without them back 0, right 1, others 2: left 2b, back 2.
    [(0.0, "left"), (0.99, "left"), (1.01, "back"), (math.inf, "back")],
)
def test_a_ranking_with_facts_is_weighed_against_the_ranking_without(beta, action):
    assert taught(constrained(Ranker(), beta, by_student=False), walk("up")).decisions[0].action == action


def test_all_trajectories_are_ranked_together():
    inner = Ranker()
    constrained(inner, 1.0).correct([walk("up"), walk("right", "left")], [BRIEFING] * 2)
    assert inner.asked == [2]


def test_a_teacher_that_has_no_answer_without_facts_costs_that_trajectory_alone_its_correction():
    teacher = constrained(Ranker(), 1.0, by_student=False)
    mute, other = teacher.correct([walk("up", task_id="mute"), walk("up")], [BRIEFING] * 2)
    assert (mute.teacher_id, mute.error) == ("constrained/ranker", "Without facts: no answer")
    assert isinstance(other, Correction)


@pytest.mark.parametrize("name", ["broke", "sold out"])
def test_a_server_that_cannot_be_asked_stops_the_round(name):
    with pytest.raises(ProviderError, match="the budget is used up"):
        constrained(Ranker(), 1.0).correct([walk("up"), walk("up", task_id=name)], [BRIEFING] * 2)


def test_what_the_inner_teacher_uses_is_told_before_and_after():
    trajectories, briefings = [walk("up"), walk("left")], [BRIEFING] * 2
    teacher = constrained(Ranker(), 1.0)
    assert teacher.forecast(trajectories, briefings) == (
        "2 requests, 0 without facts; about as many again to rank actions"
    )
    unbriefed = constrained(Ranker(), 1.0, by_student=False)
    assert unbriefed.forecast(trajectories, briefings).startswith("4 requests, 2 without facts;")
    assert unbriefed.forecast([], []) == ""
    assert teacher.account() == {"replies_count": 3}
    free = constrained(oracle_teacher(), 1.0)
    assert (free.forecast(trajectories, briefings), free.account()) == ("", {})


def test_a_student_that_cannot_say_how_likely_an_action_is_is_no_reference():
    teacher = ConstrainedTeacher(oracle_teacher(), beta=1.0, by_student=True)
    with pytest.raises(ConfigError, match="'toy' cannot say"):
        teacher.follow(ToyStudent({}), round_index=0)
    (failure,) = teacher.correct([walk("left")], [BRIEFING])
    assert "before round 0" in failure.error
