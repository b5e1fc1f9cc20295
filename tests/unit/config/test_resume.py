"""With which settings a run can be resumed."""

import multiprocessing

import pytest

from leap_exp.config.resume import ROUND_0_SETTINGS, Round0, check_config, write_config
from leap_exp.core.errors import StoreError

CONFIG = {
    "seed": 0,
    "run_dir": "here",
    "student": {"name": "vllm", "memory_share": 0.45, "serve": True},
    "teacher": {"name": "gpt4o", "endpoint": {"model": "m", "budget_dollars": 5.0, "concurrency": 8, "tries": 6}},
}


def with_endpoint(**changes):
    return {**CONFIG, "teacher": {**CONFIG["teacher"], "endpoint": {**CONFIG["teacher"]["endpoint"], **changes}}}


@pytest.fixture
def path(tmp_path):
    write_config(tmp_path / "config.yaml", CONFIG)
    return tmp_path / "config.yaml"


def test_a_run_can_be_resumed_with_a_higher_budget_and_other_request_settings(path):
    check_config(path, with_endpoint(budget_dollars=50.0, concurrency=1, tries=2))
    check_config(path, {**CONFIG, "run_dir": "there"})
    check_config(path, {**CONFIG, "student": {**CONFIG["student"], "memory_share": 0.3, "serve": False}})


def test_a_run_cannot_be_resumed_with_another_model(path):
    with pytest.raises(StoreError, match=r"teacher\.endpoint\.model was m, now other"):
        check_config(path, with_endpoint(model="other", budget_dollars=50.0))


def test_settings_have_their_present_names_when_compared(tmp_path):
    path = tmp_path / "config.yaml"
    write_config(path, {**CONFIG, "trainer": {"name": "sft", "mistakes": 3}})
    check_config(path, {**CONFIG, "trainer": {"name": "sft", "max_changed_steps": 3}})
    with pytest.raises(StoreError, match=r"trainer\.max_changed_steps was 3, now 4"):
        check_config(path, {**CONFIG, "trainer": {"name": "sft", "max_changed_steps": 4}})


def _prepare(folder, name, settings, start, outcomes):
    run_dir = folder / name
    run_dir.mkdir()
    start.wait(30)
    try:
        Round0(seed=0, shared=folder / "pi_0").prepare(run_dir, settings)
        outcomes.put(None)
    except StoreError as error:
        outcomes.put(str(error))


@pytest.mark.parametrize("kinds", [1, 2])
def test_runs_that_begin_at_the_same_moment_share_a_round_0_if_they_have_the_same_settings(tmp_path, kinds):
    context = multiprocessing.get_context("fork")
    count, start, outcomes = 8, context.Barrier(8), context.Queue()
    processes = [
        context.Process(
            target=_prepare,
            args=(tmp_path, str(n), {**dict.fromkeys(ROUND_0_SETTINGS), "batch": n % kinds}, start, outcomes),
        )
        for n in range(count)
    ]
    for process in processes:
        process.start()
    found = [outcomes.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    refused = [error for error in found if error]
    assert len(refused) == (0 if kinds == 1 else count // 2)
    assert all("was made with other settings: batch was " in error for error in refused)
