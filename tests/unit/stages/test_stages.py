"""The stages: rollout, correct, aggregate, evaluate, probe."""

import contextlib
from dataclasses import replace

import pytest

from leap_exp.core.errors import DataError, EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Correction, CorrectionFailure, Decision, DecisionFailure, StopReason, Trajectory, views
from leap_exp.runs import read_records
from leap_exp.stages.aggregate import Aggregation, aggregate, select
from leap_exp.stages.correct import CorrectConfig, correct
from leap_exp.stages.demonstrations import imitate, with_briefings
from leap_exp.stages.evaluate import assess, draw_panel
from leap_exp.stages.probe import draw_probes
from leap_exp.stages.rollout import RolloutsConfig, rollout, sample_tasks
from leap_exp.stages.train import is_held_out, split
from tests.support.toy import COLOURS, DOORS, ToyEnvironment, ToyStudent, ToyTeacher, prize_door, toy_leap

TASKS = ToyEnvironment().tasks("train")
SEER = ToyStudent({colour: prize_door(colour) for colour in COLOURS}, policy_id="seer")


def run(policy, tasks=TASKS, *, environment=None, batch=4, max_steps=3, seed=1, on_progress=lambda done, total: None):
    return rollout(
        environment or ToyEnvironment(),
        policy,
        tasks,
        seed=seed,
        max_steps=max_steps,
        batch=batch,
        on_progress=on_progress,
    )


def test_rollouts_do_not_depend_on_how_many_run_at_once():
    student = ToyStudent({"red": prize_door("red")})
    alone = run(student, batch=1)
    assert alone == run(student, batch=5) == run(student, batch=100)
    assert [trajectory.task for trajectory in alone] == list(TASKS)
    assert {(t.stop, t.score, len(t.steps)) for t in alone} == {
        (StopReason.DONE, 1.0, 1),
        (StopReason.STEP_LIMIT, 0.0, 3),
    }


def test_no_more_than_batch_episodes_are_open_and_a_finished_one_makes_room():
    open_now, most, seen = set(), [0], []

    class Counting(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            open_now.add(task.id)
            most[0] = max(most[0], len(open_now))
            with super().open(task, seed=seed) as episode:
                yield episode
            open_now.remove(task.id)

    run(
        ToyStudent({"red": prize_door("red")}),
        environment=Counting(),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert most == [4]
    assert not open_now
    assert seen[-1] == (24, 24)


def test_a_policy_that_repeats_itself_is_stopped_only_where_that_is_asked_for():
    class Stubborn(ToyStudent):
        def act(self, batch, *, seed):
            return [Decision(reason="", action=DOORS[0]) for _ in batch]

    def stops(*, stop_when_stuck, max_repeats=0):
        environment = ToyEnvironment()
        environment.max_repeats = max_repeats
        trajectories = rollout(
            environment,
            Stubborn({}),
            TASKS[:2],
            seed=1,
            max_steps=8,
            batch=2,
            on_progress=lambda done, total: None,
            stop_when_stuck=stop_when_stuck,
        )
        return {(trajectory.stop, len(trajectory.steps), trajectory.score) for trajectory in trajectories}

    assert stops(stop_when_stuck=False) == {(StopReason.STEP_LIMIT, 8, 0.0)}
    # The first step is on the opening text; the third meets what the second met.
    assert stops(stop_when_stuck=True) == {(StopReason.STUCK, 3, 0.0)}
    assert stops(stop_when_stuck=True, max_repeats=1) == {(StopReason.STUCK, 4, 0.0)}


def test_what_breaks_in_an_environment_is_a_record_without_a_score():
    class Fragile(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            if task.id.endswith("3"):
                raise RuntimeError("no such room")
            with super().open(task, seed=seed) as episode:
                if task.id.endswith("4"):
                    episode.score = None  # calling it fails at the very end
                yield episode

    trajectories = run(SEER, environment=Fragile())
    broken = [trajectory for trajectory in trajectories if trajectory.score is None]
    assert [trajectory.task.id[-1] for trajectory in broken] == ["3", "4", "3", "4", "3"]
    assert broken[0].error == "RuntimeError: no such room"
    evaluation = assess(trajectories)
    assert (evaluation.n, evaluation.unscored, evaluation.success_rate) == (19, 5, 1.0)


def test_a_policy_that_fails_to_decide_ends_that_episode_without_a_score_and_no_other():
    class Forgetful(ToyStudent):
        def act(self, batch, *, seed):
            decided = super().act(batch, seed=seed)
            lost = [view.task.id.endswith("3") and len(view.history) == 1 for view in batch]
            return [
                DecisionFailure(error="no answer") if is_lost else d for d, is_lost in zip(decided, lost, strict=True)
            ]

    class Closing(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            with super().open(task, seed=seed) as episode:
                yield episode
            closed.append(task.id)

    closed = []
    trajectories = run(Forgetful({}), environment=Closing())
    assert [(t.error, len(t.steps)) for t in trajectories if t.score is None] == [("no answer", 1)] * 3
    assert sorted(closed) == [task.id for task in TASKS]
    assert assess(trajectories).unscored == 3


def test_an_environment_in_which_everything_breaks_is_an_error():
    class Gone(ToyEnvironment):
        def open(self, task, *, seed):
            raise RuntimeError("no server")

    with pytest.raises(EnvError, match=r"All 24 episodes crashed.*no server"):
        run(SEER, environment=Gone())


def test_an_inadmissible_action_goes_to_the_environment_and_counts_as_invalid():
    class Stubborn(ToyStudent):
        def act(self, batch, *, seed):
            return [Decision(reason="", action="dance") for _ in batch]

    trajectories = run(Stubborn({}), TASKS[:2])
    assert trajectories[0].steps[1].observation.text == "Nothing happens after dance."
    assert assess(trajectories).invalid_action_rate == 1.0


def test_sampling_is_by_seed_without_repetition_and_refuses_too_many():
    assert sample_tasks(TASKS, 10, seed=1) == sample_tasks(TASKS, 10, seed=1) != sample_tasks(TASKS, 10, seed=2)
    assert len({task.id for task in sample_tasks(TASKS, 24, seed=1)}) == 24
    with pytest.raises(DataError, match="needs 25 tasks, but the split has only 24"):
        sample_tasks(TASKS, 25, seed=1)


def corrected(trajectories, disclosure=Disclosure.P50, max_score=0.0, environment=None):
    environment = environment or ToyEnvironment()
    return correct(
        ToyTeacher(environment),
        environment,
        ToyStudent({}),
        trajectories,
        config=CorrectConfig(max_score=max_score),
        disclosure=disclosure,
        on_progress=lambda done, total: None,
    )


def test_only_weak_trajectories_are_corrected_and_facts_come_only_with_privilege():
    trajectories = run(ToyStudent({"red": prize_door("red")}))
    weak = [trajectory for trajectory in trajectories if trajectory.score == 0.0]
    assert [correction.trajectory for correction in corrected(trajectories)] == weak
    assert len(corrected(trajectories, max_score=1.0)) == len(trajectories)
    assert all(correction.briefing.facts for correction in corrected(trajectories))
    assert all(correction.briefing.facts is None for correction in corrected(trajectories, Disclosure.NONE))


class Closed(ToyEnvironment):
    """Has no facts about two tasks."""

    def privileged(self, task):
        if task.id.endswith("5"):
            raise DataError("no plan")
        return super().privileged(task)


def test_a_task_without_facts_fails_alone():
    results = corrected(run(ToyStudent({})), environment=Closed())
    failures = [result for result in results if isinstance(result, CorrectionFailure)]
    assert [failure.trajectory.task.id[-2:] for failure in failures] == ["05", "15"]
    assert len(results) == 24


def test_imitation_takes_what_succeeded_by_admissible_actions():
    won = run(SEER, TASKS[:4])
    lost = run(ToyStudent({}), TASKS[:4])
    corrections = imitate([*won, *lost])
    assert [correction.trajectory for correction in corrections] == won
    assert corrections[0].decisions == tuple(step.decision for step in won[0].steps)
    assert not any(corrections[0].changed)


def test_a_demonstration_without_facts_is_cloned_as_it_is(caplog):
    plain = imitate(run(SEER))
    mixed = with_briefings(plain, Closed(), Disclosure.P50, share=1.0, seed=0)
    assert [each.trajectory.task.id[-2:] for each in mixed if not each.briefed] == ["05", "15"]
    assert [each for each in mixed if not each.briefed] == [plain[5], plain[15]]
    assert caplog.text.count("is cloned without facts: DataError: no plan") == 2


def rounds_of(*sizes):
    return [imitate(run(SEER, TASKS[:size])) for size in sizes]


@pytest.mark.parametrize(
    ("how", "sizes", "expected"),
    [
        (Aggregation.ALL, (6, 2, 3), (6, 2, 3)),
        (Aggregation.BALANCED, (6, 2, 3), (2, 2, 2)),
        (Aggregation.BALANCED, (6, 0, 3), (3, 0, 3)),
        (Aggregation.LATEST, (6, 2, 3), (0, 0, 3)),
        (Aggregation.LATEST, (6, 2, 0), (0, 2, 0)),
    ],
)
def test_aggregation_takes_the_rounds_it_should(how, sizes, expected):
    rounds = rounds_of(*sizes)
    examples = aggregate(rounds, how, seed=3)
    assert tuple(sum(example.round_index == index for example in examples) for index in range(3)) == expected
    assert [c.trajectory.task.id for c in select(rounds, examples)] == [example.task_id for example in examples]
    assert examples == aggregate(rounds, how, seed=3)


def test_a_panel_is_fixed_by_its_seed_balanced_and_told_by_its_hash():
    tasks = TASKS[:8] + [task for task in TASKS[8:] if task.kind == "red"]
    panel = draw_panel(tasks, split="train", size=8, seed=5)
    assert sorted(task.kind for task in panel.tasks) == sorted([*COLOURS, *COLOURS])
    assert panel.hash == draw_panel(tasks, split="train", size=8, seed=5).hash
    assert panel.hash != draw_panel(tasks, split="train", size=8, seed=6).hash
    assert len(draw_panel(tasks, split="train", size=10, seed=5).tasks) == 10
    assert draw_panel(tasks, split="train", size=None, seed=5).tasks == tuple(tasks)


@pytest.mark.parametrize(("tasks", "size"), [([], None), (TASKS, 0), (TASKS, 25)])
def test_an_empty_or_too_large_panel_is_refused(tasks, size):
    with pytest.raises(DataError, match="split 'train' has"):
        draw_panel(tasks, split="train", size=size, seed=0)


def test_an_evaluation_counts_by_kind_with_intervals():
    evaluation = assess(run(ToyStudent({"red": prize_door("red")})))
    assert evaluation.success_rate == 0.25
    assert evaluation.steps_mean == 2.5
    assert evaluation.per_task_type["red"].success_rate == 1.0
    assert evaluation.per_task_type["blue"].n == 6
    low, high = evaluation.success_ci95
    assert low < 0.25 < high


def test_probes_keep_held_out_tasks_apart():
    corrections = [c for c in corrected(run(ToyStudent({}))) if isinstance(c, Correction)]
    train, held_out = split(corrections, 0.25)
    assert train
    assert held_out
    assert all(is_held_out(correction.trajectory.task, 0.25) for correction in held_out)
    probes = draw_probes(train, held_out, size=2, seed=1)
    assert len(probes.train) == len(probes.heldout) == 2
    assert not {c.trajectory.task.id for c in probes.train} & {c.trajectory.task.id for c in held_out}


def test_a_view_holds_what_the_student_saw_then_and_no_more():
    trajectory = run(ToyStudent({}), TASKS[:1])[0]
    assert [len(view.history) for view in views(trajectory)] == [0, 1, 2]


def test_a_demonstration_that_repeats_itself_is_not_stopped(tmp_path):
    class Hesitant(ToyStudent):
        def act(self, batch, *, seed):
            doors = [DOORS[0] if len(view.history) < 3 else prize_door(view.task.kind) for view in batch]
            return [Decision(reason="", action=door) for door in doors]

    leap = replace(
        toy_leap(tmp_path, rounds=1, rollouts=RolloutsConfig(tasks=6, stop_when_stuck=True)), expert=Hesitant({})
    )
    leap.run()
    demonstrations = read_records(tmp_path / "round_000" / "trajectories.jsonl").of(Trajectory)
    assert {(each.stop, len(each.steps)) for each in demonstrations} == {(StopReason.DONE, 4)}


def test_too_few_tasks_for_later_rounds_are_found_before_the_first_episode(tmp_path):
    with pytest.raises(DataError, match="needs 99 tasks"):
        toy_leap(tmp_path, rollouts=RolloutsConfig(tasks=99)).run()
    assert not list(tmp_path.rglob("trajectories.jsonl"))
