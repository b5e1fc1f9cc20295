"""With which settings a run can be resumed."""

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


def test_a_setting_that_an_older_version_did_not_have_may_only_be_resumed_at_its_default(tmp_path):
    path = tmp_path / "config.yaml"
    write_config(path, {**CONFIG, "trainer": {"name": "sft", "epochs": 1.0}})
    check_config(path, {**CONFIG, "trainer": {"name": "sft", "epochs": 1.0, "steps": "all", "max_tokens": None}})
    with pytest.raises(StoreError, match=r"trainer\.steps was all, now changed"):
        check_config(path, {**CONFIG, "trainer": {"name": "sft", "epochs": 1.0, "steps": "changed"}})


def test_trainers_that_clone_alike_share_a_round_0(tmp_path):
    cloning = {"epochs": 2.0, "steps": "all"}
    rest = {name: {} for name in ROUND_0_SETTINGS}
    shared = Round0(seed=0, shared=tmp_path / "pi_0")
    for name, trainer in (
        ("one", {"name": "sft", **cloning}),
        ("two", {"name": "dpo", "beta": 0.5, "cloning": cloning}),
        ("three", {"name": "sft_dpo", "stages": {}, "cloning": {"name": "sft", **cloning}}),
    ):
        (tmp_path / name).mkdir()
        shared.prepare(tmp_path / name, {**rest, "trainer": trainer})
    (tmp_path / "four").mkdir()
    with pytest.raises(StoreError, match=r"trainer\.epochs was 2\.0, now 3\.0"):
        shared.prepare(tmp_path / "four", {**rest, "trainer": {"name": "kto", "cloning": {**cloning, "epochs": 3.0}}})
