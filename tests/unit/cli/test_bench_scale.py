"""The simulation of a large run, in small: nothing is lost, and the bench prints its figures."""

import pytest

from leap_exp.cli.scale.measure import Plan, in_process, run
from leap_exp.cli.scale.stand_ins import Pace, best_seconds, rooms_of


def test_no_episode_is_lost_or_repeated_when_servers_fail_and_one_dies():
    pace = Pace(seconds=0.02, slots=4, failing_share=0.05)
    plan = Plan(tasks=40, episodes=64, replicas=4, concurrency=8, pace=pace, one_dies=True)
    figures = in_process(run, plan)
    steps = sum(len(rooms_of(f"train/{number:05d}")) for number in range(40))
    assert (figures["tasks_count"], figures["lost_count"], figures["repeated_count"]) == (40, 0, 0)
    assert figures["steps_count"] == steps
    assert figures["peak_mib"] > 0


def test_the_best_time_is_that_of_the_busiest_resource():
    fixed = Pace(seconds=1.0, slots=1, failing_share=0.0)
    tasks = [f"train/{number:05d}" for number in range(30)]
    total = sum(fixed.draw(task, step)[0] for task in tasks for step in range(1, len(rooms_of(task)) + 1))
    assert best_seconds(tasks, fixed, replicas=1) == pytest.approx(total)
    longest = max(sum(fixed.draw(task, step)[0] for step in range(1, len(rooms_of(task)) + 1)) for task in tasks)
    assert best_seconds(tasks, fixed, replicas=30) == pytest.approx(longest)
