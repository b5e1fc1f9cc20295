"""Several episodes of a task: their seeds, records and results."""

import json
from itertools import combinations

import pytest

from leap_exp.analysis.run import Run
from leap_exp.analysis.statistics import pass_all_k, pass_at_k, wilson_interval
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.types import StopReason, Trajectory, views
from leap_exp.report.run_page import passes_table
from leap_exp.runs import read_records, write_records
from leap_exp.stages.evaluate import EvaluationConfig, assess, assessment_metrics, draw_panel, evaluate, summary_entry
from leap_exp.stages.rollout import RolloutsConfig, rollout
from leap_exp.students.config import ApiStudentConfig, HfStudentConfig, RandomConfig
from leap_exp.students.hf import HfStudent, conversations
from leap_exp.students.scripted import RandomPolicy
from tests.support.records import task
from tests.support.toy import ToyEnvironment

TASKS = ToyEnvironment().tasks("train")[:5]


def play(policy=None, *, per_task=3, batch=4):
    return rollout(
        ToyEnvironment(),
        policy or RandomPolicy(),
        TASKS,
        seed=1,
        max_steps=4,
        batch=batch,
        on_progress=lambda done, total: None,
        per_task=per_task,
    )


def episode(name, success, sample=0):
    score = None if success is None else float(success)
    stop = StopReason.INFRA_ERROR if success is None else StopReason.DONE
    return Trajectory(task=task(name), policy_id="p", seed=sample, steps=(), stop=stop, score=score, sample=sample)


def test_samples_of_a_task_stand_side_by_side_and_the_first_is_the_only_one_of_before():
    found = play()
    assert [(each.task, each.sample) for each in found] == [(task, sample) for task in TASKS for sample in range(3)]
    assert found[::3] == play(per_task=1)
    assert len({each.seed for each in found}) == len(found)
    assert len({tuple(step.action for step in each.steps) for each in found}) > len(TASKS)
    assert found == play(batch=100)


def test_the_first_sample_is_written_as_records_were_before(tmp_path):
    found = play()
    write_records(tmp_path / "file.jsonl", found, {})
    lines = [json.loads(line) for line in (tmp_path / "file.jsonl").read_text().splitlines()[1:]]
    assert ["sample" in line for line in lines] == [False, True, True] * len(TASKS)
    assert read_records(tmp_path / "file.jsonl").of(Trajectory) == found
    assert {view.sample for each in found[2::3] for view in views(each)} == {2}


def test_a_conversation_keeps_its_name_when_another_sample_of_its_task_ends():
    seen = [views(each)[0] for each in play()[:3]]
    assert len({*conversations(seen)}) == 3
    assert conversations(seen)[1:] == conversations(seen[1:])


@pytest.mark.parametrize("n", [1, 3, 5])
def test_estimates_are_the_means_over_all_choices_of_episodes(n):
    for successes in range(n + 1):
        outcomes = [index < successes for index in range(n)]
        for k in range(1, n + 1):
            chosen = list(combinations(outcomes, k))
            assert pass_at_k(n, successes, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))
            assert pass_all_k(n, successes, k) == pytest.approx(sum(map(all, chosen)) / len(chosen))


def test_results_of_several_episodes_per_task():
    outcomes = {"a": (1, 1, 1, 1), "b": (1, 0, 0, 1), "c": (0, 0, 0, 0), "d": (0, 1, None, None)}
    results = assess(
        [episode(name, success, sample) for name, each in outcomes.items() for sample, success in enumerate(each)]
    )
    assert (results.n, results.unscored, results.samples) == (14, 2, 4)
    assert results.success_rate == pytest.approx(7 / 14)
    assert results.success_ci95 == pytest.approx(wilson_interval(2.0, 4))
    # "d" has two scored episodes, which say nothing about four.
    assert results.pass_at == pytest.approx({"2": (1 + 5 / 6 + 0 + 1) / 4, "4": 2 / 3})
    assert results.pass_all == pytest.approx({"2": (1 + 1 / 6 + 0 + 0) / 4, "4": 1 / 3})
    metrics = assessment_metrics("evaluate", results)
    assert metrics["evaluate/pass_at_4_rate"] == pytest.approx(2 / 3)
    assert metrics["evaluate/pass_all_2_rate"] == pytest.approx(7 / 24)
    assert summary_entry(results)["samples"] == 4


def test_one_episode_per_task_is_reported_as_before():
    results = assess([episode("a", True), episode("b", False)])
    assert not any("pass" in name for name in (*assessment_metrics("evaluate", results), *summary_entry(results)))
    assert "samples" not in summary_entry(results)
    # A file of demonstrations may have several of one task.
    assert assess([episode("a", True), episode("a", False)]).success_ci95 == wilson_interval(1, 2)


def test_scores_by_task_are_means_over_its_episodes(tmp_path):
    (tmp_path / "round_000").mkdir()
    write_records(
        tmp_path / "round_000" / "evaluation.jsonl", [episode("a", success, i) for i, success in enumerate((1, 0))], {}
    )
    run = shown(tmp_path, [{"round": 0}])
    assert run.scores == [{"alfworld/a": 0.5}]


def test_the_report_has_a_row_for_each_estimate(tmp_path):
    entry = {"round": 0, "success_rate": 0.5, "pass_at": {"2": 0.75}, "pass_all": {"2": 0.25}}
    table = passes_table(shown(tmp_path, [entry]))
    assert [cells for _, cells in table.rows] == [["50.0 %"], ["75.0 %"], ["25.0 %"]]
    assert passes_table(shown(tmp_path, [{"round": 0, "success_rate": 0.5}])) is None


def shown(folder, rounds):
    return Run(folder=folder, config={}, config_text="", provenance={}, rounds=rounds, metrics={}, timings=[])


def student(**changes):
    settings = {"model": "tiny", "format": "plain", "decoding": "admissible", "reasons": False, "dtype": "float32"}
    return HfStudent(HfStudentConfig(**settings, device="cpu", max_new_tokens=12, **changes), ToyEnvironment())


def test_evaluation_is_greedy_unless_samples_are_asked_for():
    panel = draw_panel(TASKS, split="train", size=None, seed=3)

    def evaluated(agent, samples=None):
        return evaluate(
            agent,
            ToyEnvironment(),
            panel,
            max_steps=3,
            batch=4,
            on_progress=lambda done, total: None,
            samples=samples,
        )

    warm, cold = student(temperature=1.5), student()
    assert evaluated(warm) == evaluated(cold)
    sampled = evaluated(warm, samples=3)
    assert len(sampled) == 3 * len(TASKS)
    assert sampled == evaluated(student(temperature=1.5), samples=3)
    actions = {(each.task.id, tuple(step.action for step in each.steps)) for each in sampled}
    assert len(actions) > len(TASKS)


@pytest.mark.parametrize(
    "changes", [{"rollouts": RolloutsConfig(per_task=2)}, {"evaluation": EvaluationConfig(samples=2)}]
)
def test_samples_of_a_student_that_draws_nothing_are_refused(changes):
    with pytest.raises(ConfigError, match=r"=2 would repeat the same episode.*student\.temperature"):
        RunConfig(run_dir="here", student=HfStudentConfig(model="tiny"), **changes)
    for varying in (HfStudentConfig(model="tiny", temperature=0.5),):
        RunConfig(run_dir="here", student=varying, **changes)
    assert RandomConfig().varies
    assert not ApiStudentConfig().varies
