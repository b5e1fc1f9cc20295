"""With which settings a run can be resumed."""

import pytest

from leap_exp.config.resume import ROUND_0_SETTINGS, Round0, check_config, defaults, write_config
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import StoreError
from leap_exp.stages.rollout import RolloutsConfig

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


def test_a_setting_that_is_newer_than_the_file_had_its_default(path):
    newer = {**CONFIG, "student": {**CONFIG["student"], "new": 1}, "rollouts": {"teacher_share": 0.0}}
    known = {"student": {"new": 1}, "rollouts": {"teacher_share": 0.0}, "other": 5}
    check_config(path, newer, defaults=known)
    with pytest.raises(StoreError, match=r"rollouts\.teacher_share was 0\.0, now 0\.3"):
        check_config(path, {**newer, "rollouts": {"teacher_share": 0.3}}, defaults=known)
    with pytest.raises(StoreError, match=r"student\.new was None, now 1"):
        check_config(path, newer)


def test_defaults_are_those_of_the_settings_classes():
    config = RunConfig(run_dir="here", rounds=0, rollouts=RolloutsConfig(tasks=3, teacher_share=0.5))
    assert defaults(config)["rollouts"]["teacher_share"] == 0.0
    assert defaults(config)["rounds"] == 3


def test_a_finished_round_0_is_shared_by_runs_with_other_trainers_but_the_same_held_out_tasks(tmp_path):
    settings = {key: {"name": key} for key in ROUND_0_SETTINGS}
    sft = {**settings, "trainer": {"name": "sft", "epochs": 1, "validation_share": 0.1}}
    dpo = {**settings, "trainer": {"name": "dpo", "beta": 0.1, "validation_share": 0.1}}
    shared = Round0(seed=0, shared=tmp_path / "pi_0")
    runs = [tmp_path / name for name in ("sft", "dpo")]
    for run in runs:
        run.mkdir()
    shared.prepare(runs[0], sft)
    with pytest.raises(StoreError, match=r"trainer\.name was sft, now dpo"):
        shared.prepare(runs[1], dpo)
    (tmp_path / "pi_0" / "evaluation.jsonl").touch()
    shared.prepare(runs[1], dpo)
    with pytest.raises(StoreError, match=r"trainer\.validation_share was 0\.1, now 0\.2"):
        shared.prepare(runs[1], {**dpo, "trainer": {**dpo["trainer"], "validation_share": 0.2}})
    with pytest.raises(StoreError, match=r"env\.name was env, now other"):
        shared.prepare(runs[1], {**dpo, "env": {"name": "other"}})
