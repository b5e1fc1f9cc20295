"""Taking a trajectory up again at a mistake, and going on with the teacher."""

import contextlib
from dataclasses import replace

import pytest

from leap_exp.core.errors import EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import CorrectionFailure, StopReason
from leap_exp.stages.correct import CorrectConfig, correct, correction_metrics
from leap_exp.stages.recover import recover, resume
from leap_exp.stages.rollout import rollout
from leap_exp.tokens.spans import training_rows
from tests.support.toy import DOORS, ToyEnvironment, ToyEpisode, ToyStudent, ToyTeacher, toy_leap
from tests.unit.stages.test_mixture import SlowTeacher
from tests.unit.students.test_hf import student as tiny_student

TASKS = ToyEnvironment().tasks("train")[:6]


def played(environment, max_steps=3):
    return rollout(
        environment, ToyStudent({}), TASKS, seed=1, max_steps=max_steps, batch=6, on_progress=lambda *_: None
    )


def corrected(teacher, environment, trajectories):
    return correct(
        teacher,
        environment,
        ToyStudent({}),
        trajectories,
        config=CorrectConfig(),
        disclosure=Disclosure.P50,
        on_progress=lambda *_: None,
    )


def recovered(teacher, environment, corrections, *, steps=5, batch=4):
    return recover(
        teacher, environment, corrections, steps=steps, max_steps=8, batch=batch, seed=0, on_progress=lambda *_: None
    )


def test_an_episode_is_resumed_at_any_step_with_the_same_observation():
    environment = ToyEnvironment()
    (trajectory, *_) = played(environment)
    for at in range(len(trajectory.steps)):
        episode = resume(environment, trajectory, at, limit=8)
        assert episode.view().history == trajectory.steps[:at]
        assert episode.view().observation == trajectory.steps[at].observation
        episode.close()


def test_the_teacher_goes_on_from_a_mistake_and_only_that_is_learnt():
    environment, teacher = ToyEnvironment(), SlowTeacher(ToyEnvironment())
    corrections = corrected(teacher, environment, played(environment))
    results = recovered(teacher, environment, corrections)
    assert results == recovered(teacher, environment, corrections, batch=1)
    assert len(results) == len(corrections)
    starts = set()
    for result, correction in zip(results, corrections, strict=True):
        trajectory, start = result.trajectory, result.trajectory.resumed_at
        starts.add(start)
        assert correction.changed[start]
        assert trajectory.steps[:start] == correction.trajectory.steps[:start]
        assert trajectory.steps[start].decision == correction.decisions[start]
        assert {step.taken_by for step in trajectory.steps[start:]} == {teacher.id}
        assert (trajectory.stop, trajectory.score, len(trajectory.steps)) == (StopReason.DONE, 1.0, 4)
        assert result.context_steps == tuple(range(start))
        assert not any(result.changed)
        (row,) = training_rows(result, tiny_student(decoding="free").codec)
        assert {span.step for span in row.spans} == set(range(start, 4))
    assert len(starts) > 1
    metrics = correction_metrics([*corrections, *results])
    assert metrics == {**correction_metrics(corrections), "correct/recoveries_count": 6}


def test_the_teacher_stops_after_a_number_of_steps():
    environment, teacher = ToyEnvironment(), SlowTeacher(ToyEnvironment())
    for result in recovered(teacher, environment, corrected(teacher, environment, played(environment, 1)), steps=1):
        assert (len(result.trajectory.steps), result.trajectory.stop) == (2, StopReason.STEP_LIMIT)


def test_what_does_not_repeat_itself_is_a_failure_not_a_demonstration():
    class Moody(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            opened.append(task.id)
            episode = ToyEpisode(task.kind)
            episode.observation = replace(episode.observation, text=f"Visit {len(opened)}.")
            yield episode

    opened = []
    environment, teacher = Moody(), ToyTeacher(ToyEnvironment())
    trajectories = played(environment)
    results = recovered(teacher, environment, corrected(teacher, environment, trajectories))
    assert all(isinstance(result, CorrectionFailure) for result in results)
    assert "did not repeat itself up to step" in results[0].error
    with pytest.raises(EnvError, match=r"correct\.recovery_steps=0"):
        resume(environment, trajectories[0], 2, limit=8)


def test_where_nothing_was_changed_there_is_nothing_to_recover_from():
    environment = ToyEnvironment()
    teacher = ToyTeacher(environment)
    (trajectory, *_) = played(environment)
    won = replace(trajectory, steps=())
    assert recovered(teacher, environment, [replace(c, trajectory=won, decisions=(), changed=()) for c in
                     corrected(teacher, environment, [trajectory])]) == []  # fmt: skip


def test_a_run_learns_from_recoveries_beside_corrections(tmp_path):
    toy_leap(tmp_path, correct=CorrectConfig(recovery_steps=3)).run()
    lines = (tmp_path / "round_001" / "corrections.jsonl").read_text().splitlines()[1:]
    recoveries = [line for line in lines if '"resumed_at"' in line]
    assert recoveries
    assert len(recoveries) == len(lines) - len(recoveries)
    assert f'"correct/recoveries_count": {len(recoveries)}' in (tmp_path / "metrics.jsonl").read_text()
    assert DOORS[0] in lines[0]
