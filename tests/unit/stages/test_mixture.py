"""Rollouts in which the teacher takes some steps, and what is learnt from them."""

from dataclasses import replace

import pytest

from leap_exp.analysis.realizability import agreement, measure
from leap_exp.core.errors import DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, CorrectionFailure, Trajectory, views
from leap_exp.runs import read_records, write_records
from leap_exp.stages.correct import CorrectConfig, correct
from leap_exp.stages.mixture import Mixture, Schedule, TeacherSteps, teacher_metrics, teacher_share
from leap_exp.stages.rollout import RolloutsConfig, rollout
from leap_exp.tokens.spans import Role, training_rows
from tests.support.toy import DOORS, ToyEnvironment, ToyStudent, ToyTeacher, prize_door, toy_leap
from tests.unit.students.test_hf import student as tiny_student

TASKS = ToyEnvironment().tasks("train")
NOVICE = ToyStudent({})


class SlowTeacher(ToyTeacher):
    """Opens the right door only at the fourth step, so that episodes last."""

    def correct(self, trajectories, briefings):
        corrections = []
        for correction in super().correct(trajectories, briefings):
            decisions = [
                decision if index >= 3 else replace(decision, action=DOORS[3])
                for index, decision in enumerate(correction.decisions)
            ]
            corrections.append(
                Correction.of(correction.trajectory, decisions, teacher_id=self.id, briefing=correction.briefing)
            )
        return corrections


def mixture(share, steps=TeacherSteps.RANDOM, *, environment=None, teacher=SlowTeacher):
    environment = environment or ToyEnvironment()
    return Mixture(
        teacher=teacher(environment), environment=environment, disclosure=Disclosure.P50, share=share, steps=steps
    )


def run(share, steps=TeacherSteps.RANDOM, *, batch=4, max_steps=6, **changes):
    return rollout(
        ToyEnvironment(),
        NOVICE,
        TASKS,
        seed=3,
        max_steps=max_steps,
        batch=batch,
        on_progress=lambda done, total: None,
        mixture=mixture(share, steps, **changes),
    )


def takers(trajectory: Trajectory) -> str:
    return "".join("T" if step.taken_by else "s" for step in trajectory.steps)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        (Schedule.CONSTANT, [0.6, 0.6, 0.6]),
        (Schedule.LINEAR, [0.6, 0.4, 0.2]),
        (Schedule.EXPONENTIAL, [0.6, 0.36, 0.216]),
    ],
)
def test_the_teachers_share_follows_its_schedule(schedule, shares):
    found = [teacher_share(0.6, schedule, round_index=index, rounds=3) for index in (1, 2, 3)]
    assert found == pytest.approx(shares)


def test_the_record_says_who_took_each_step_and_does_not_depend_on_the_batch():
    mixed = run(0.5)
    assert mixed == run(0.5, batch=1) == run(0.5, batch=100)
    assert {step.taken_by for trajectory in mixed for step in trajectory.steps} == {"", "toy_oracle"}
    share = teacher_metrics("rollout", mixed)["rollout/teacher_share"]
    assert 0.3 < share < 0.7
    for trajectory in mixed:
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            own = NOVICE.act([view], seed=0)[0]
            assert step.taken_by or step.decision == own


def test_at_the_ends_one_of_them_acts_alone():
    alone = run(0.0)
    assert {takers(trajectory) for trajectory in alone} == {"ssssss"}
    assert teacher_metrics("rollout", alone) == {}
    assert {takers(trajectory) for trajectory in run(1.0)} == {"TTTT"}


def test_the_teacher_can_begin_or_finish():
    first = {takers(trajectory) for trajectory in run(0.6, TeacherSteps.FIRST)}
    last = {takers(trajectory) for trajectory in run(0.3, TeacherSteps.LAST)}
    assert all(each == "T" * each.count("T") + "s" * each.count("s") for each in first)
    assert all(each == "s" * each.count("s") + "T" * each.count("T") for each in last)
    assert len(first) > 2
    assert len(last) > 2


def test_where_the_teacher_has_no_decision_the_student_acts():
    class Silent(ToyTeacher):
        def correct(self, trajectories, briefings):
            return [CorrectionFailure(trajectory=t, teacher_id=self.id, error="no answer") for t in trajectories]

    class Closed(ToyEnvironment):
        def privileged(self, task):
            raise DataError("no facts")

    assert {takers(trajectory) for trajectory in run(1.0, teacher=Silent)} == {"ssssss"}
    assert {takers(trajectory) for trajectory in run(1.0, environment=Closed())} == {"ssssss"}


def corrected(trajectories, **settings):
    environment = ToyEnvironment()
    return correct(
        ToyTeacher(environment),
        environment,
        NOVICE,
        trajectories,
        config=CorrectConfig(max_score=1.0, **settings),
        disclosure=Disclosure.P50,
        on_progress=lambda done, total: None,
    )


def test_steps_of_the_teacher_are_imitated_but_are_no_mistakes():
    mixed = run(0.5)
    for correction in corrected(mixed):
        for index, step in enumerate(correction.trajectory.steps):
            if step.taken_by:
                assert correction.decisions[index] == step.decision
                assert not correction.changed[index]
            else:
                assert correction.decisions[index].action == prize_door(correction.trajectory.task.kind)
    corrections = corrected(mixed)
    own = [step for trajectory in mixed for step in trajectory.steps if not step.taken_by]
    assert agreement(corrections) == {"realizability/agreement_share": 0.0, "realizability/changed_share": 1.0}
    assert sum(len(correction.judged_steps) for correction in corrections) == len(own)


def test_an_episode_of_the_teacher_alone_is_a_demonstration_and_asks_nobody():
    class Deaf(ToyTeacher):
        def correct(self, trajectories, briefings):
            assert not trajectories
            return []

    environment = ToyEnvironment()
    results = correct(
        Deaf(environment),
        environment,
        NOVICE,
        run(1.0),
        config=CorrectConfig(max_score=1.0),
        disclosure=Disclosure.P50,
        on_progress=lambda done, total: None,
    )
    assert len(results) == len(TASKS)
    assert not any(any(result.changed) for result in results)
    assert not any(result.context_steps for result in results)
    assert agreement(results) == {}


def test_who_acted_is_stored_and_older_records_stay_as_they_are(tmp_path):
    mixed, alone = run(0.5), run(0.0)
    write_records(tmp_path / "mixed.jsonl", mixed, {})
    assert list(read_records(tmp_path / "mixed.jsonl").records) == mixed
    write_records(tmp_path / "alone.jsonl", [*alone, *corrected(alone)], {})
    text = (tmp_path / "alone.jsonl").read_text()
    assert not any(name in text for name in ("taken_by", "resumed_at", "context_steps"))


def test_a_teachers_step_is_neither_rejected_nor_the_students_own():
    trajectory = run(0.5, max_steps=6)[0]
    steps = trajectory.steps
    assert "T" in takers(trajectory)
    assert "s" in takers(trajectory)
    (correction,) = corrected([trajectory])
    codec = tiny_student(decoding="free").codec
    for role in (Role.REJECTED, Role.OWN):
        (row,) = training_rows(correction, codec, roles=frozenset({role}))
        assert {span.step for span in row.spans} == {i for i, step in enumerate(steps) if not step.taken_by}
    (row,) = training_rows(correction, codec)
    assert {span.step for span in row.spans} == set(range(len(steps)))


def test_context_is_not_measured():
    (correction,) = corrected([run(0.0)[0]])
    limited = correction.limited_to([1, 3])
    values = [-1.0, -2.0, -1.0, -4.0, -1.0, -1.0]
    metrics = measure([limited], values, values, sample="train")
    assert metrics["realizability/train_logprob_before_nats"] == -3.0


def test_a_run_with_a_mixture_resumes_to_the_same_files(tmp_path):
    rollouts = RolloutsConfig(tasks=12, teacher_share=0.5, teacher_schedule="exponential")
    toy_leap(tmp_path / "whole", rollouts=rollouts).run()
    toy_leap(tmp_path / "part", rollouts=rollouts).run()
    (tmp_path / "part" / "round_002" / "corrections.jsonl").unlink()
    toy_leap(tmp_path / "part", rollouts=rollouts).run()
    for name in ("metrics.jsonl", "summary.json", "round_002/corrections.jsonl"):
        assert (tmp_path / "part" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert "rollout/teacher_share" in (tmp_path / "whole" / "metrics.jsonl").read_text()
