"""A student as its own teacher: what it keeps, which student it is, and that a resumed run has the same one."""

from dataclasses import replace

import pytest

from leap_exp.core.errors import ConfigError
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
from leap_exp.teachers.self_privileged import SelfTeacher, Snapshot
from tests.toy import ToyStudent, toy_leap

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


def told(*actions):
    """A briefing by which an ``Advisable`` student takes ``actions`` in order."""
    return Briefing(disclosure=Disclosure.P100, facts=PrivilegedFacts(task_id="fork", text=" ".join(actions)))


LOGPROBS = {"left": -1.0, "right": -3.0, "back": -0.5}


class Advisable(ToyStudent):
    """Does what the facts say, step by step; breaks where they say so; remembers the batches it was asked about."""

    def __init__(self, known=(), *, policy_id="toy"):
        super().__init__(dict(known), policy_id=policy_id)
        self.weights = {policy_id: 1.0}
        self.batches = []
        self.weighed = []

    def advise(self, views, briefings):
        self.batches.append(len(views))
        actions = [b.facts.text.split()[len(v.history)] for v, b in zip(views, briefings, strict=True)]
        if "break" in actions:
            raise ZeroDivisionError("no way")
        return [Decision(reason="told", action=action) for action in actions]

    def action_logprobs(self, views, actions, *, reasons, briefings=None):
        assert briefings is not None
        self.weighed.append((len(views), tuple(reasons)))
        return [{action: LOGPROBS[action] for action in asked} for asked in actions]

    def averaged(self, students, shares, *, policy_id):
        mean = Advisable(self.known, policy_id=policy_id)
        mean.weights = {}
        for student, share in zip(students, shares, strict=True):
            for name, part in student.weights.items():
                mean.weights[name] = mean.weights.get(name, 0.0) + share * part
        return mean

    def load(self, folder, *, policy_id):
        return Advisable(super().load(folder, policy_id=policy_id).known, policy_id=policy_id)


def teacher(snapshot=Snapshot.LIVE, *, students=1, decay=0.5):
    own = SelfTeacher(snapshot=snapshot, decay=decay)
    for index in range(students):
        own.follow(Advisable(policy_id=f"pi_{index}"), round_index=index)
    return own


def test_a_step_is_changed_only_where_the_action_is_another_and_admissible():
    trajectory = walk("right", "left", "right", "back")
    (correction,) = teacher().correct([trajectory], [told("left", "left", "fly", "right")])
    assert isinstance(correction, Correction)
    assert correction.changed == (True, False, False, True)
    assert [(decision.reason, decision.action) for decision in correction.decisions] == [
        ("told", "left"),
        ("mine", "left"),
        ("mine", "right"),
        ("told", "right"),
    ]
    assert correction.teacher_id == "self/live"


def test_an_inadmissible_action_of_the_student_is_corrected_or_costs_the_trajectory_its_correction():
    briefing = told("left", "left")
    (mended,) = teacher().correct([walk("fly", "left")], [briefing])
    assert [decision.action for decision in mended.decisions] == ["left", "left"]
    (failure,) = teacher().correct([walk("left", "fly")], [told("left", "swim")])
    assert isinstance(failure, CorrectionFailure)
    assert "'fly'" in failure.error
    assert "'swim'" in failure.error


def test_steps_of_many_trajectories_are_decided_on_together_and_a_broken_one_costs_no_other_its_correction():
    own = teacher()
    whole = [walk("left"), walk("left", "right", "left"), walk("right", "right")]
    briefings = [told("right", "left", "right")] * 3
    together = own.correct(whole, briefings)
    assert own.student.batches == [3, 2, 1]
    assert [result.changed for result in together] == [(True,), (True, True, True), (False, True)]
    results = own.correct(whole, [briefings[0], told("left", "break", "left"), briefings[2]])
    assert [results[0], results[2]] == [together[0], together[2]]
    assert isinstance(results[1], CorrectionFailure)
    assert results[1].error == "ZeroDivisionError: no way"


def test_actions_are_worth_how_much_likelier_than_its_own_decision_they_are_and_none_more_than_that():
    own = teacher()
    corrections = own.correct([walk("right", "left"), walk("left")], [told("left", "right"), told("back")])
    values = own.values(corrections, [[["left", "right", "back"], ["right", "left"]], [["back", "left"]]])
    assert values == [
        [{"left": 0.0, "right": -2.0, "back": 0.0}, {"right": 0.0, "left": 0.0}],
        [{"back": 0.0, "left": -0.5}],
    ]
    assert own.student.weighed == [(2, ("told", "told")), (1, ("told",))]


def test_the_snapshot_says_which_student_teaches():
    assert teacher(Snapshot.LIVE, students=3).student.id == "pi_2"
    assert teacher(Snapshot.ROUND_0, students=3).student.id == "pi_0"
    assert teacher(Snapshot.EMA, students=1).student.id == "pi_0"
    assert teacher(Snapshot.EMA, students=3, decay=0.75).student.weights == {
        "pi_0": 0.75 * 0.75,
        "pi_1": 0.75 * 0.25,
        "pi_2": 0.25,
    }


def test_a_student_that_cannot_be_briefed_is_refused_and_without_one_there_is_no_teacher():
    own = SelfTeacher(snapshot=Snapshot.LIVE, decay=0.5)
    with pytest.raises(ConfigError, match="'toy' cannot be"):
        own.follow(ToyStudent({}), round_index=0)
    (failure,) = own.correct([walk("left")], [told("right")])
    assert "before round 0" in failure.error


class DoorTeller(Advisable):
    """Reads the door off the facts of the toy world."""

    def advise(self, views, briefings):
        return [Decision(reason=self.id, action=b.facts.text[len("Behind ") : -1]) for b in briefings]

    def averaged(self, students, shares, *, policy_id):
        names = "+".join(f"{share} {student.id}" for student, share in zip(students, shares, strict=True))
        return DoorTeller(self.known, policy_id=f"({names})")

    def load(self, folder, *, policy_id):
        return DoorTeller(super().load(folder, policy_id=policy_id).known, policy_id=policy_id)


@pytest.mark.parametrize("snapshot", list(Snapshot))
def test_in_the_loop_the_right_student_teaches_and_a_resumed_run_has_the_same_one(tmp_path, snapshot):
    def leap(name):
        own = SelfTeacher(snapshot=snapshot, decay=0.5)
        return replace(toy_leap(tmp_path / name, rounds=3), student=DoorTeller(), teacher=own)

    def corrections(name, index):
        return (tmp_path / name / f"round_{index:03d}" / "corrections.jsonl").read_bytes()

    leap("whole").run()
    taught_by = {
        Snapshot.LIVE: b"toy/round_1",
        Snapshot.ROUND_0: b"toy/round_0",
        Snapshot.EMA: b"(0.5 toy/round_0+0.5 toy/round_1)",
    }
    assert taught_by[snapshot] in corrections("whole", 2)
    replace(leap("resumed"), plan=replace(leap("resumed").plan, rounds=1)).run()
    leap("resumed").run()
    assert [corrections("resumed", index) for index in (1, 2, 3)] == [
        corrections("whole", index) for index in (1, 2, 3)
    ]
