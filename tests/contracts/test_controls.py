"""Every control in every registered environment: what it tells, and what it lets the scripted expert do."""

import re

import pytest

from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.types import Briefing, Correction, View, views
from leap_exp.envs.controls import EnvironmentWithControl
from leap_exp.teachers.oracle import OracleTeacher

WITH_FACTS = [disclosure for disclosure in Disclosure if disclosure is not Disclosure.NONE]


def controlled(environment, control, disclosure=Disclosure.P25):
    return EnvironmentWithControl(environment, control, disclosure=disclosure, seed=3)


def some_tasks(environment, count=8):
    return list(environment.tasks("train")[:count])


def start(environment, task):
    with environment.open(task, seed=0) as episode:
        return View(task=task, history=(), observation=episode.observation)


def says(text, name):
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


@pytest.mark.parametrize("control", Control)
def test_facts_are_about_the_task_and_name_their_control(environment, control):
    one, same = controlled(environment, control), controlled(environment, control)
    for task in some_tasks(environment, 4):
        facts = one.privileged(task)
        assert (facts.task_id, facts.data["control"]) == (task.id, control)
        assert facts == same.privileged(task)


def test_shuffled_facts_are_those_of_another_task(environment):
    for task in some_tasks(environment):
        facts = controlled(environment, Control.SHUFFLED).privileged(task)
        (other,) = [each for each in environment.tasks("train") if each.id == facts.data["facts_of"]]
        assert other.id != task.id
        assert other.environment == task.environment
        assert facts.text == environment.privileged(other).text


def test_wrong_facts_are_never_the_true_ones(environment):
    for disclosure in (Disclosure.P25, Disclosure.P100):
        wrong = controlled(environment, Control.WRONG, disclosure)
        for task in some_tasks(environment):
            true, told = environment.privileged(task), wrong.privileged(task)
            assert told.text != true.text
            assert {name: value for name, value in told.data.items() if name in true.data} != dict(true.data)


def test_a_placebo_has_the_form_of_the_facts_and_no_hidden_name(environment):
    placebo = controlled(environment, Control.PLACEBO)
    for task in some_tasks(environment):
        true, told = environment.privileged(task), placebo.privileged(task)
        assert [len(re.findall(r"\w+", line)) for line in told.text.splitlines()] == [
            len(re.findall(r"\w+", line)) for line in true.text.splitlines()
        ]
        assert [name for name in true.data["hidden_names"] if says(told.text, name)] == []
        assert not re.search("[1-9]", told.text)
        assert set(told.data) == {"control"}


@pytest.mark.parametrize("control", Control)
@pytest.mark.parametrize("disclosure", Disclosure)
def test_the_environment_s_own_expert_stays_as_it_is(environment, control, disclosure):
    changed = controlled(environment, control)
    for task in some_tasks(environment, 3):
        view = start(environment, task)
        assert changed.oracle(task).decide(view, disclosure, seed=1) == environment.oracle(task).decide(
            view, disclosure, seed=1
        )
        worlds, own = (each.consistent_worlds(view, limit=4, seed=0) for each in (changed, environment))
        assert (worlds and worlds.probabilities) == (own and own.probabilities)


@pytest.mark.parametrize("control", Control)
@pytest.mark.parametrize("disclosure", WITH_FACTS)
def test_a_scripted_teacher_corrects_under_every_control(environment, wandering, control, disclosure):
    changed = controlled(environment, control, disclosure)
    teacher = OracleTeacher(changed.of_teacher, seed=0)
    scored = [trajectory for trajectory in wandering if trajectory.steps][:3]
    briefings = [Briefing(disclosure=disclosure, facts=changed.privileged(each.task)) for each in scored]
    # A correction refuses actions that are not admissible.
    assert all(isinstance(each, Correction) for each in teacher.correct(scored, briefings))


@pytest.mark.parametrize("control", Control)
def test_without_facts_or_with_a_placebo_the_expert_only_knows_the_history(environment, wandering, control):
    changed = controlled(environment, control).of_teacher
    for trajectory in wandering[:3]:
        true, told = environment.oracle(trajectory.task), changed.oracle(trajectory.task)
        for view, step in zip(views(trajectory), trajectory.steps, strict=True):
            own = true.decide(view, Disclosure.NONE, seed=2, taken=step.action)
            assert told.decide(view, Disclosure.NONE, seed=2, taken=step.action) == own
            if control is Control.PLACEBO:
                assert told.decide(view, Disclosure.P100, seed=2, taken=step.action) == own


@pytest.mark.parametrize("control", [Control.SHUFFLED, Control.WRONG])
def test_the_scripted_expert_is_led_by_what_it_is_told(environment, control):
    changed = controlled(environment, control, Disclosure.P50)
    tasks = some_tasks(environment)
    led = 0
    for task in tasks:
        view = start(environment, task)
        told, true = changed.of_teacher.oracle(task), environment.oracle(task)
        led += told.decide(view, Disclosure.P50, seed=0).action != true.decide(view, Disclosure.P50, seed=0).action
    # A place that is drawn may be the true one, and it can be the only one that is possible.
    assert led >= (len(tasks) // 2 if control is Control.WRONG else 1)
