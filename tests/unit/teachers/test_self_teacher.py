"""The self teacher: which decisions it keeps, and which student teaches."""

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Student
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
from leap_exp.teachers.self_teacher import SelfTeacher, Snapshot

OBSERVATION = Observation(text="A fork.", admissible_actions=("left", "right", "back"))


def walk(*actions, task_id="fork"):
    steps = tuple(
        Step(observation=OBSERVATION, decision=Decision(reason="mine", action=action), reward=0.0) for action in actions
    )
    return Trajectory(
        task=Task(id=task_id, split="train", instruction="Get out.", kind="fork"),
        policy_id="student",
        seed=0,
        steps=steps,
        stop=StopReason.STEP_LIMIT,
        score=0.0,
    )


def facts(*actions):
    """A briefing that makes an ``AdvisableStudent`` take ``actions`` in order."""
    return Briefing(disclosure=Disclosure.P100, facts=PrivilegedFacts(task_id="fork", text=" ".join(actions)))


LOGPROBS = {"left": -1.0, "right": -3.0, "back": -0.5}


class PlainStudent(Student):
    """Acts, and cannot read a briefing."""

    id = "plain"

    def act(self, views, *, seed):
        raise AssertionError("not used")

    def logprobs(self, corrections):
        raise AssertionError("not used")

    def load(self, folder, *, policy_id):
        raise AssertionError("not used")


class AdvisableStudent(PlainStudent):
    """Does what the facts say, step by step, or raises an error if they say "break". Records its batches."""

    def __init__(self, policy_id):
        self.id = policy_id
        self.weights = {policy_id: 1.0}
        self.batches = []
        self.scored = []

    def advise(self, views, briefings):
        self.batches.append(len(views))
        actions = [b.facts.text.split()[len(v.history)] for v, b in zip(views, briefings, strict=True)]
        if "break" in actions:
            raise ZeroDivisionError("no way")
        return [Decision(reason="briefed", action=action) for action in actions]

    def action_logprobs(self, views, actions, *, reasons, briefings=None):
        assert briefings is not None
        self.scored.append((len(views), tuple(reasons)))
        return [{action: LOGPROBS[action] for action in options} for options in actions]

    def averaged(self, students, weights, *, policy_id):
        mean = AdvisableStudent(policy_id)
        mean.weights = {}
        for student, weight in zip(students, weights, strict=True):
            for name, part in student.weights.items():
                mean.weights[name] = mean.weights.get(name, 0.0) + weight * part
        return mean


def teacher(snapshot=Snapshot.LIVE, *, students=1, decay=0.5):
    own = SelfTeacher(snapshot=snapshot, decay=decay)
    for index in range(students):
        own = own.for_student(AdvisableStudent(f"pi_{index}"), round_index=index)
    return own


def test_a_step_changes_only_if_the_action_is_different_and_admissible():
    trajectory = walk("right", "left", "right", "back")
    (correction,) = teacher().correct([trajectory], [facts("left", "left", "fly", "right")])
    assert isinstance(correction, Correction)
    assert correction.changed == (True, False, False, True)
    assert [(decision.reason, decision.action) for decision in correction.decisions] == [
        ("briefed", "left"),
        ("mine", "left"),
        ("mine", "right"),
        ("briefed", "right"),
    ]
    assert correction.teacher_id == "self/live"


@pytest.mark.parametrize(
    ("min_margin", "changed"),
    [(None, (True, True, True)), (-3.0, (True, True, True)), (1.5, (True, False, True)), (2.5, (False, False, True))],
)
def test_a_step_changes_only_if_the_briefed_student_is_sure_enough(min_margin, changed):
    # The other action is likelier by 2 nats in the first step and less likely by 2.5 in the second.
    own = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5, min_margin=min_margin)
    own = own.for_student(AdvisableStudent("pi_0"), round_index=0)
    (correction,) = own.correct([walk("right", "back", "fly")], [facts("left", "right", "left")])
    assert correction.changed == changed


def test_an_inadmissible_action_of_the_student_is_corrected_or_the_correction_fails():
    briefing = facts("left", "left")
    (corrected,) = teacher().correct([walk("fly", "left")], [briefing])
    assert [decision.action for decision in corrected.decisions] == ["left", "left"]
    (failure,) = teacher().correct([walk("left", "fly")], [facts("left", "swim")])
    assert isinstance(failure, CorrectionFailure)
    assert "'fly'" in failure.error
    assert "'swim'" in failure.error


def test_trajectories_are_batched_by_step_and_an_error_in_one_affects_no_other():
    own = teacher()
    whole = [walk("left"), walk("left", "right", "left"), walk("right", "right")]
    briefings = [facts("right", "left", "right")] * 3
    results = own.correct(whole, briefings)
    assert own.student.batches == [3, 2, 1]
    assert [result.changed for result in results] == [(True,), (True, True, True), (False, True)]
    second = own.correct(whole, [briefings[0], facts("left", "break", "left"), briefings[2]])
    assert [second[0], second[2]] == [results[0], results[2]]
    assert isinstance(second[1], CorrectionFailure)
    assert second[1].error == "ZeroDivisionError: no way"


def test_action_values_are_log_probabilities_relative_to_the_decision_and_at_most_0():
    own = teacher()
    corrections = own.correct([walk("right", "left"), walk("left")], [facts("left", "right"), facts("back")])
    values = own.action_values(corrections, [[["left", "right", "back"], ["right", "left"]], [["back", "left"]]])
    assert values == [
        [{"left": 0.0, "right": -2.0, "back": 0.0}, {"right": 0.0, "left": 0.0}],
        [{"back": 0.0, "left": -0.5}],
    ]
    assert own.student.scored == [(2, ("briefed", "briefed")), (1, ("briefed",))]


def test_the_snapshot_determines_which_student_teaches():
    assert teacher(Snapshot.LIVE, students=3).student.id == "pi_2"
    assert teacher(Snapshot.ROUND_0, students=3).student.id == "pi_0"
    assert teacher(Snapshot.EMA, students=1).student.id == "pi_0"
    assert teacher(Snapshot.EMA, students=3, decay=0.75).student.weights == {
        "pi_0": 0.75 * 0.75,
        "pi_1": 0.75 * 0.25,
        "pi_2": 0.25,
    }


def test_the_teacher_needs_a_student_that_can_read_a_briefing():
    own = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    with pytest.raises(ConfigError, match="'plain' cannot be its own teacher"):
        own.for_student(PlainStudent(), round_index=0)
    (failure,) = own.correct([walk("left")], [facts("right")])
    assert "before round 0" in failure.error


def test_the_teacher_of_the_next_round_is_a_new_one():
    first = teacher()
    second = first.for_student(AdvisableStudent("pi_1"), round_index=1)
    assert (first.student.id, second.student.id) == ("pi_0", "pi_1")
