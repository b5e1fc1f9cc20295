"""What every registered teacher must do."""

import pytest

from leap_exp.config.registry import members, settings_class
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, CorrectionFailure, views
from leap_exp.stages.correct import brief
from leap_exp.stages.mixture import ask
from leap_exp.students.hf import HfStudent
from leap_exp.teachers.config import LlmTeacherConfig
from tests.contracts.conftest import configured
from tests.support.fault_server import answer, fault_server
from tests.support.teaching_server import teaching

LLM = [name for name in members("teacher") if settings_class("teacher", name) is LlmTeacherConfig]
CASES = [
    *((name, []) for name in members("teacher")),
    *((name, ["teacher.mode=step"]) for name in LLM[:1]),
    ("constrained", ["teacher@teacher.inner=self"]),
    ("constrained", ["teacher@teacher.inner=local"]),
    ("constrained", ["teacher@teacher.inner=local", "teacher.inner.mode=step", "teacher.reference=inner"]),
]


@pytest.fixture
def server():
    """Whom teachers ask that are language models."""
    with fault_server(teaching()) as running:
        yield running


@pytest.fixture(params=CASES, ids=lambda case: " ".join([case[0], *case[1]]))
def teacher(request, environment, server, tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_CACHE", str(tmp_path))
    name, overrides = request.param
    place = "teacher" if name in LLM else "teacher.inner" if "teacher@teacher.inner=local" in overrides else None
    if place:
        endpoint = {"base_url": server.url, "model": "scripted", "key_variable": "null"}
        overrides = [*overrides, *(f"{place}.endpoint.{setting}={value}" for setting, value in endpoint.items())]
    config = configured(f"teacher={name}", *overrides)
    teacher = config.teacher.build(environment, seed=0)
    return teacher.for_student(config.student.build(environment), round_index=0)


@pytest.mark.parametrize("disclosure", list(Disclosure))
def test_every_trajectory_gets_an_answer_of_its_own(teacher, environment, wandering, disclosure):
    briefings = [brief(environment, trajectory.task, disclosure) for trajectory in wandering]
    results = teacher.correct(wandering, briefings)
    assert [result.trajectory for result in results] == list(wandering)
    assert {result.teacher_id for result in results} == {teacher.id}
    corrections = [result for result in results if isinstance(result, Correction)]
    assert corrections
    for correction in corrections:
        assert correction.briefing.disclosure is disclosure
        for step, decision, changed in zip(
            correction.trajectory.steps, correction.decisions, correction.changed, strict=True
        ):
            # A student without reasons gives none as a teacher either.
            assert decision.reason or teacher.id.startswith(("self", "constrained"))
            assert changed == (decision.action != step.decision.action)


def test_the_same_question_gets_the_same_answer_in_any_company(teacher, environment, wandering):
    briefings = [brief(environment, trajectory.task, Disclosure.P75) for trajectory in wandering]
    together = teacher.correct(wandering, briefings)
    alone = [teacher.correct([t], [b])[0] for t, b in zip(wandering, briefings, strict=True)]
    assert list(together) == alone


def test_a_correction_of_some_steps_is_that_of_all_steps_limited_to_them(teacher, environment, wandering):
    briefings = [brief(environment, trajectory.task, Disclosure.P50) for trajectory in wandering]
    steps = [range(0, len(trajectory.steps), 2) for trajectory in wandering]
    whole = teacher.correct(wandering, briefings)
    for result, limited, asked in zip(whole, teacher.correct_steps(wandering, briefings, steps), steps, strict=True):
        if isinstance(result, Correction):
            assert limited == result.limited_to(asked)


def test_it_can_act_in_the_students_place(teacher, environment, wandering):
    seen = [view for trajectory in wandering for view in views(trajectory)[:2]]
    briefings = [brief(environment, view.task, Disclosure.P50) for view in seen]
    decisions = ask(teacher, seen, briefings, seed=0)
    # With random weights, a student that writes freely names no action.
    assert any(decision is not None for decision in decisions) or "self" in teacher.id
    for view, decision in zip(seen, decisions, strict=True):
        assert decision is None or view.observation.admits(decision.action)


def test_nothing_to_correct_is_no_trouble(teacher):
    assert list(teacher.correct([], [])) == []


def test_a_trajectory_that_cannot_be_corrected_is_a_failure_not_a_crash(
    teacher, environment, wandering, server, monkeypatch
):
    def broken(task):
        raise RuntimeError("no oracle today")

    monkeypatch.setattr(type(environment), "oracle", lambda self, task: broken(task))
    server.follow([answer("no oracle today")])
    monkeypatch.setattr(HfStudent, "advise", lambda self, views, briefings: broken(views))
    (result,) = teacher.correct(wandering[:1], [brief(environment, wandering[0].task, Disclosure.NONE)])
    assert isinstance(result, CorrectionFailure)
    assert "no oracle today" in result.error


def test_a_teacher_estimates_what_it_will_use_and_reports_what_it_has_used(teacher, environment, wandering):
    briefings = [brief(environment, trajectory.task, Disclosure.P50) for trajectory in wandering]
    if not teacher.estimate(wandering, briefings):
        pytest.skip("uses nothing that is counted")
    assert "request" in teacher.estimate(wandering, briefings)
    assert teacher.estimate([], []) == ""
    teacher.correct(wandering, briefings)
    assert teacher.usage()["replies_count"] >= len(wandering)
    assert teacher.usage() == {}
