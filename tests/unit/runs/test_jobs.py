"""What became of the runs of a sweep, from their folders."""

import json
import math

import pytest

from leap_exp.core.errors import StoreError
from leap_exp.runs import locked, write_document
from leap_exp.runs.jobs import JobState, PrunedError, add_to_plan, final_value, job_noted, read_job, read_jobs


@pytest.fixture
def sweep(tmp_path):
    """A sweep with one planned run, and a function that finishes rounds of it."""
    add_to_plan(tmp_path, ["a"])

    def finish(rounds: int) -> None:
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / "config.yaml").write_text("rounds: 1\n")
        entries = [{"round": index, "n": 4, "success_rate": index / 2} for index in range(rounds)]
        write_document(tmp_path / "a" / "summary.json", {"rounds": entries})

    return tmp_path, finish


def state(folder):
    return read_job(folder, "a").state


def test_a_run_waits_runs_and_is_done(sweep):
    folder, finish = sweep
    assert state(folder) is JobState.WAITING
    finish(1)
    with locked(folder / "a", wait=False), job_noted(folder / "a", job_id="7"):
        running = read_job(folder, "a")
        assert (running.state, running.finished_rounds, running.rounds) == (JobState.RUNNING, 1, 2)
        finish(2)
    assert state(folder) is JobState.DONE


@pytest.mark.parametrize(
    ("error", "expected", "line"),
    [
        (StoreError("The disk\nis full."), JobState.FAILED, "The disk is full."),
        (ZeroDivisionError("by zero"), JobState.FAILED, "ZeroDivisionError: by zero"),
        (PrunedError("pruned after round 0"), JobState.PRUNED, "pruned after round 0"),
    ],
)
def test_a_run_that_ends_with_an_error_shows_it_until_it_is_started_again(sweep, error, expected, line):
    folder, finish = sweep
    finish(1)
    with pytest.raises(type(error)), job_noted(folder / "a", job_id="7"):
        raise error
    ended = read_job(folder, "a")
    assert (ended.state, ended.line) == (expected, line)
    with job_noted(folder / "a", job_id="8"):
        finish(2)
    assert state(folder) is JobState.DONE


def test_a_killed_run_is_interrupted_and_shows_the_last_line_of_its_log(sweep):
    folder, finish = sweep
    finish(1)
    with pytest.raises(KeyboardInterrupt), job_noted(folder / "a", job_id="7_0"):
        raise KeyboardInterrupt
    (folder / ".submitit" / "7_0").mkdir(parents=True)
    log = "starts\nslurmstepd: error: Detected 1 oom_kill event\n\n"
    (folder / ".submitit" / "7_0" / "7_0_0_log.err").write_text(log)
    killed = read_job(folder, "a")
    assert (killed.state, killed.line) == (JobState.INTERRUPTED, "slurmstepd: error: Detected 1 oom_kill event")


def test_planned_runs_are_listed_first_and_keep_their_order(sweep):
    folder, _ = sweep
    add_to_plan(folder, ["c", "b", "a"])
    (folder / "older").mkdir()
    write_document(folder / "older" / "provenance.json", {})
    assert [(job.name, job.state) for job in read_jobs(folder)] == [
        *((name, JobState.WAITING) for name in ("a", "c", "b")),
        ("older", JobState.INTERRUPTED),
    ]


def test_a_folder_without_runs_is_one_error(tmp_path):
    with pytest.raises(StoreError, match="holds no runs"):
        read_jobs(tmp_path)


def test_the_final_value_is_a_figure_of_the_last_round_and_never_that_of_crashes(sweep):
    folder, finish = sweep
    finish(2)
    line = {"schema_version": 1, "round": 1, "metrics": {"realizability/heldout_epsilon": 0.25}}
    (folder / "a" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert final_value(folder / "a", "success_rate") == 0.5
    assert final_value(folder / "a", "realizability/heldout_epsilon") == 0.25
    with pytest.raises(StoreError, match="objective=loss is no figure of the last round; choose one of: realiz"):
        final_value(folder / "a", "loss")
    write_document(folder / "a" / "summary.json", {"rounds": [{"round": 0, "n": 0, "success_rate": 0.0}]})
    assert math.isnan(final_value(folder / "a", "success_rate"))
