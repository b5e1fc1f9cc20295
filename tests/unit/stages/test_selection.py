"""Which trajectories and which of their steps are learnt from."""

import math

import pytest

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, Decision, StopReason
from leap_exp.stages.correct import CorrectConfig, Selection, correct, correction_metrics, select_trajectories
from leap_exp.stages.critical import Uncertainty, uncertainty_of
from leap_exp.stages.rollout import rollout
from leap_exp.tokens.spans import training_rows
from tests.support.records import trajectory
from tests.support.toy import DOORS, ToyEnvironment, ToyOracle, ToyStudent, ToyTeacher, prize_door, toy_leap
from tests.unit.students.test_hf import student as tiny_student

TASKS = ToyEnvironment().tasks("train")


class Knowing(ToyEnvironment):
    """Its oracle says that the second door is a dead end, and that the others only cost a step."""

    def oracle(self, task):
        class Oracle(ToyOracle):
            def action_values(self, view, disclosure):
                assert disclosure is Disclosure.P50
                values = dict.fromkeys(DOORS, -1.0)
                return {**values, DOORS[1]: -math.inf, DOORS[2]: -3.0, prize_door(view.task.kind): 0.0}

        return Oracle()


class Unsure(ToyStudent):
    """Does not know what to do at every second step."""

    def action_logprobs(self, views, actions, *, reasons, briefings=None):
        return [
            {action: 0.0 if len(view.history) % 2 or action == listed[0] else -50.0 for action in listed}
            for view, listed in zip(views, actions, strict=True)
        ]


class Asked(ToyTeacher):
    """Remembers at which steps it was asked."""

    def __init__(self, environment):
        super().__init__(environment)
        self.steps = []

    def correct_steps(self, trajectories, briefings, steps):
        self.steps += [list(each) for each in steps]
        return super().correct_steps(trajectories, briefings, steps)


def played(environment, tasks=TASKS[:4], student=None):
    return rollout(
        environment, student or ToyStudent({}), tasks, seed=1, max_steps=5, batch=4, on_progress=lambda *_: None
    )


def corrected(environment, trajectories, *, student=None, teacher=None, disclosure=Disclosure.P25, **settings):
    return correct(
        teacher or ToyTeacher(environment),
        environment,
        student or ToyStudent({}),
        trajectories,
        config=CorrectConfig(max_score=1.0, **settings),
        disclosure=disclosure,
        on_progress=lambda *_: None,
    )


@pytest.mark.parametrize(("min_cost", "steps"), [(1.0, [0, 1, 2, 3, 4]), (2.0, [1, 2, 4]), (4.0, [1, 4])])
def test_critical_steps_are_those_whose_exact_cost_is_high(min_cost, steps):
    environment = Knowing()
    teacher = Asked(environment)
    corrections = corrected(environment, played(environment), teacher=teacher, steps="critical", min_cost=min_cost)
    assert [list(each.learnt_steps) for each in corrections] == [steps] * 4
    assert teacher.steps == ([steps] * 4 if len(steps) < 5 else [])
    metrics = correction_metrics(corrections)
    assert metrics["correct/changed_share"] == 1.0
    if len(steps) < 5:
        assert metrics["correct/labels_count"] == 4 * len(steps)
        assert metrics["correct/labels_saved_count"] == 4 * (5 - len(steps))


def test_where_costs_are_unknown_the_uncertain_steps_are_critical():
    environment = ToyEnvironment()
    for uncertainty in ("entropy", "margin"):
        corrections = corrected(
            environment, played(environment), student=Unsure({}), steps="critical", uncertainty=uncertainty
        )
        assert {each.learnt_steps for each in corrections} == {(1, 3)}


def test_without_facts_costs_are_not_used():
    environment = Knowing()
    corrections = corrected(
        environment, played(environment), student=Unsure({}), steps="critical", disclosure=Disclosure.NONE
    )
    assert {each.learnt_steps for each in corrections} == {(1, 3)}


def test_a_trajectory_without_a_critical_step_is_left_out():
    environment = Knowing()
    won = played(environment, student=ToyStudent({task.kind: prize_door(task.kind) for task in TASKS}))
    assert corrected(environment, won, steps="critical") == []


def test_a_task_whose_costs_cannot_be_computed_is_asked_about():
    class Broken(ToyEnvironment):
        def oracle(self, task):
            if task.id.endswith("1"):
                raise RuntimeError("no plan")
            return super().oracle(task)

    class Knows(ToyTeacher):
        def __init__(self):
            super().__init__(ToyEnvironment())

    corrections = corrected(Broken(), played(ToyEnvironment()), student=Unsure({}), teacher=Knows(), steps="critical")
    assert len(corrections) == 4


def test_uncertainty_lies_between_certain_and_undecided():
    certain, undecided = {"a": 0.0, "b": -60.0, "c": -60.0}, {"a": -1.0, "b": -1.0, "c": -1.0}
    for measure in Uncertainty:
        assert uncertainty_of(certain, measure) == pytest.approx(0.0, abs=1e-9)
        assert uncertainty_of(undecided, measure) == pytest.approx(1.0)
        assert uncertainty_of({"a": -3.0}, measure) == 0.0
    shares = {"a": math.log(0.6), "b": math.log(0.3), "c": math.log(0.1)}
    assert uncertainty_of(shares, Uncertainty.MARGIN) == pytest.approx(0.7)
    entropy = -(0.6 * math.log(0.6) + 0.3 * math.log(0.3) + 0.1 * math.log(0.1)) / math.log(3)
    assert uncertainty_of(shares, Uncertainty.ENTROPY) == pytest.approx(entropy)


def test_changed_steps_alone():
    class Lenient(ToyTeacher):
        def correct(self, trajectories, briefings):
            corrections = super().correct(trajectories, briefings)
            return [
                Correction.of(
                    each.trajectory,
                    [step.decision if i % 2 else d for i, (step, d) in enumerate(
                        zip(each.trajectory.steps, each.decisions, strict=True))],
                    teacher_id=self.id,
                    briefing=each.briefing,
                )
                for each in corrections
            ]  # fmt: skip

    environment = ToyEnvironment()
    corrections = corrected(environment, played(environment), teacher=Lenient(environment), steps="changed")
    assert {each.learnt_steps for each in corrections} == {(0, 2, 4)}


def test_context_is_not_trained_on_and_may_be_inadmissible():
    walk = trajectory("look", "dance", "look")
    decisions = [Decision(reason="", action="go to desk 1")] * 3
    briefing = corrected(ToyEnvironment(), played(ToyEnvironment()))[0].briefing
    correction = Correction.of(walk, decisions, teacher_id="t", briefing=briefing, asked=[2])
    assert correction.context_steps == (0, 1)
    assert correction.changed == (False, False, True)
    (row,) = training_rows(correction, tiny_student(decoding="free").codec)
    assert {span.step for span in row.spans} == {2}


def test_best_keeps_one_trajectory_of_each_task_and_failures_what_failed():
    attempts = [
        trajectory("look", "look", name="0", score=0.5),
        trajectory("look", name="1", score=0.0),
        trajectory("look", name="0", score=0.5),
        trajectory("look", "look", name="1", score=1.0),
        trajectory("go to desk 1", name="0", score=0.5),
    ]
    assert select_trajectories(attempts, Selection.BEST) == [attempts[2], attempts[3]]
    assert select_trajectories(attempts, Selection.FAILURES) == [each for each in attempts if each.score < 1.0]
    crashed = [each for each in played(ToyEnvironment()) if each.stop is StopReason.INFRA_ERROR]
    assert select_trajectories([*attempts, *crashed], Selection.ALL) == attempts


def test_the_control_for_length_trains_on_the_demonstrations_in_every_round(tmp_path):
    toy_leap(tmp_path, learn_from="demonstrations", aggregate="balanced").run()
    for index in (1, 2, 3):
        folder = tmp_path / f"round_{index:03d}"
        assert not (folder / "trajectories.jsonl").exists()
        assert not (folder / "corrections.jsonl").exists()
        examples = (folder / "examples.jsonl").read_text().splitlines()[1:]
        assert examples == (tmp_path / "round_000" / "examples.jsonl").read_text().splitlines()[1:]
        assert (folder / "evaluation.jsonl").exists()


def test_expert_iteration_learns_from_what_the_student_won_by_itself(tmp_path):
    toy_leap(tmp_path, learn_from="successes").run()
    lines = (tmp_path / "round_001" / "corrections.jsonl").read_text().splitlines()[1:]
    assert lines
    assert all('"score": 1.0' in line and '"teacher_id": "toy/round_0"' in line for line in lines)
