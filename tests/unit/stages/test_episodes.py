"""Many episodes at once: results do not depend on timing, and nothing slow holds the others."""

import contextlib
import threading
import time

import pytest

from leap_exp.core.errors import ProviderError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import DecisionFailure, StopReason
from leap_exp.runs import RecordSpool
from leap_exp.stages.correct import CorrectConfig, correct
from leap_exp.stages.rollout import rollout
from tests.support.toy import ToyEnvironment, ToyStudent, ToyTeacher, prize_door

TASKS = ToyEnvironment().tasks("train")
SLOW = TASKS[3].id


def run(policy, *, environment=None, tasks=TASKS, batch=8, max_steps=4, **how):
    return rollout(
        environment or ToyEnvironment(),
        policy,
        tasks,
        seed=1,
        max_steps=max_steps,
        batch=batch,
        on_progress=how.pop("on_progress", lambda done, total: None),
        **how,
    )


class OneByOne(ToyStudent):
    """Answers view by view, after a pause that depends on the task."""

    concurrency = 4

    def __init__(self, known=(), *, pause=lambda view: 0.0):
        super().__init__(dict(known))
        self._pause = pause
        self._lock = threading.Lock()
        self._at_once = self.most_at_once = 0

    def act(self, batch, *, seed):
        (view,) = batch
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self._pause(view))
        with self._lock:
            self._at_once -= 1
        return super().act(batch, seed=seed)


def test_a_policy_that_answers_one_by_one_gives_the_trajectories_of_a_batch_whatever_the_timing():
    in_turns = run(ToyStudent({"red": prize_door("red")}))
    paced = OneByOne({"red": prize_door("red")}, pause=lambda view: hash_share(view.task.id) * 0.01)
    assert run(paced) == run(paced, batch=3) == in_turns
    assert 1 < paced.most_at_once <= 4


def hash_share(text):
    return sum(text.encode()) % 7 / 7


def test_a_slow_answer_does_not_hold_the_other_episodes():
    finished = []

    class Noting(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            with super().open(task, seed=seed) as episode:
                yield episode
            finished.append(task.id)

    run(OneByOne(pause=lambda view: 0.2 if view.task.id == SLOW else 0.0), environment=Noting(), batch=4)
    assert finished[-1] == SLOW
    assert len(finished) == len(TASKS)


class SlowSteps(ToyEnvironment):
    """Environments whose steps take a while, and note how many do at a time."""

    parallel_steps = 4

    def __init__(self):
        super().__init__()
        self.at_once = self.most_at_once = 0
        self.threads = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self, task, *, seed):
        with super().open(task, seed=seed) as episode:
            step = episode.step

            def slow_step(action):
                with self._lock:
                    self.at_once += 1
                    self.most_at_once = max(self.most_at_once, self.at_once)
                    self.threads.add(threading.get_ident())
                time.sleep(0.01)
                with self._lock:
                    self.at_once -= 1
                return step(action)

            episode.step = slow_step
            yield episode


@pytest.mark.parametrize("policy", [ToyStudent({}), OneByOne()])
def test_environments_step_in_a_pool_of_threads_that_live_as_long_as_the_episodes(policy):
    environment = SlowSteps()
    assert run(policy, environment=environment) == run(ToyStudent({}))
    assert environment.most_at_once == 4
    assert len(environment.threads) == 4


def test_a_batch_has_the_same_views_in_the_same_order_whatever_the_timing():
    class Noting(ToyStudent):
        def act(self, batch, *, seed):
            batches.append([(view.task.id, len(view.history)) for view in batch])
            return super().act(batch, seed=seed)

    batches: list[list[tuple[str, int]]] = []
    run(Noting({"red": prize_door("red")}))
    plain, batches = batches, []
    run(Noting({"red": prize_door("red")}), environment=SlowSteps())
    assert batches == plain


def test_a_failed_answer_ends_its_episode_and_an_error_ends_the_rollout_after_those_in_flight():
    class Failing(OneByOne):
        def act(self, batch, *, seed):
            (decision,) = super().act(batch, seed=seed)
            answered.append(batch[0].task.id)
            if batch[0].task.id == SLOW and self.error:
                raise self.error
            return [DecisionFailure(error="no answer") if batch[0].task.id == SLOW else decision]

    answered = []
    policy = Failing()
    policy.error = None
    failed = [trajectory for trajectory in run(policy) if trajectory.stop is StopReason.INFRA_ERROR]
    assert [(trajectory.task.id, trajectory.error) for trajectory in failed] == [(SLOW, "no answer")]

    opened, closed = [], []

    class Counting(ToyEnvironment):
        @contextlib.contextmanager
        def open(self, task, *, seed):
            opened.append(task.id)
            with super().open(task, seed=seed) as episode:
                yield episode
            closed.append(task.id)

    policy.error = ProviderError("the server is down")
    with pytest.raises(ProviderError, match="the server is down"):
        run(policy, environment=Counting())
    assert sorted(opened) == sorted(closed)
    assert policy._at_once == 0


def test_trajectories_are_written_as_they_finish_and_read_in_the_order_of_the_tasks(tmp_path):
    spool = RecordSpool(tmp_path)
    on_disk = []
    stored = run(
        OneByOne(pause=lambda view: 0.05 if view.task.id == SLOW else 0.0),
        spool=spool,
        on_progress=lambda done, total: on_disk.append(len(spool)),
    )
    assert on_disk == list(range(1, len(TASKS) + 1))
    assert stored == run(ToyStudent({}))
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_corrects_one_by_one_gives_the_corrections_of_a_batch(tmp_path):
    class Slow(ToyTeacher):
        concurrency = 4

        def correct(self, trajectories, briefings):
            (trajectory,) = trajectories
            time.sleep(hash_share(trajectory.task.id) * 0.01)
            return super().correct(trajectories, briefings)

    environment = ToyEnvironment()
    trajectories = run(ToyStudent({"red": prize_door("red")}))

    def corrected(teacher, **how):
        seen = []
        results = correct(
            teacher,
            environment,
            ToyStudent({}),
            trajectories,
            config=CorrectConfig(),
            disclosure=Disclosure.P50,
            on_progress=lambda done, total: seen.append((done, total)),
            **how,
        )
        return results, seen[-1]

    in_chunks = corrected(ToyTeacher(environment))
    assert in_chunks[1] == (18, 18)
    assert corrected(Slow(environment), spool=RecordSpool(tmp_path)) == in_chunks
