"""From the arguments of ``leap eval`` to those of ``leap run``."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from leap_exp.cli.eval import evaluation_overrides
from leap_exp.core.errors import ConfigError

CONFIG = {
    "env": {"name": "alfworld", "games": "it's, a {folder}", "builtin_counts": {"train": 3}, "task_types": ["heat"]},
    "student": {"name": "tiny", "reasons": False, "adapter": None, "lora": {"r": 4, "dropout": 0.05}},
    "evaluation": {"split": "valid_unseen", "tasks": 1, "panel_seed": 0},
    "batch": 1,
    "teacher": {"name": "oracle"},
}


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "privilege=none,seed=0"
    (folder / "round_001" / "student").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(CONFIG), folder / "config.yaml")
    return folder


def values(overrides):
    return {each.key_or_group: each.value() for each in OverridesParser.create().parse_overrides(overrides)}


def test_a_checkpoint_is_evaluated_with_the_settings_of_its_run(run_dir):
    folder = run_dir / "round_001"
    assert values(evaluation_overrides([str(folder)])) == {
        "rounds": 0,
        "checkpoint": str(folder / "student"),
        "env": "alfworld",
        "env.games": "it's, a {folder}",
        "env.builtin_counts": {"train": 3},
        "env.task_types": ["heat"],
        "student": "tiny",
        "student.reasons": False,
        "student.adapter": None,
        "student.lora": {"r": 4, "dropout": 0.05},
        "evaluation": CONFIG["evaluation"],
        "batch": 1,
    }


def test_given_arguments_replace_those_of_the_run(run_dir):
    found = values(evaluation_overrides([str(run_dir / "round_001"), "env=webshop", "evaluation.tasks=7"]))
    assert found["env"] == "webshop"
    assert "env.games" not in found
    assert found["student"] == "tiny"
    assert found["evaluation.tasks"] == 7


def test_without_a_checkpoint_the_arguments_stay(run_dir):
    assert evaluation_overrides(["student=random", "-m", "seed=0,1"]) == [
        "-m",
        "rounds=0",
        "student=random",
        "seed=0,1",
    ]


def test_a_panel_brings_its_environment_and_keeps_the_other_settings_of_the_run(run_dir):
    folder = str(run_dir / "round_001")
    found = values(evaluation_overrides([folder], panel="builtin_alfworld_36", protocol="leap"))
    assert found["env"] == "alfworld"
    assert (found["env.games"], found["env.household"], found["env.builtin_seed"]) == ("builtin", "small", 0)
    assert found["env.task_types"] == ["heat"]
    assert (found["evaluation.panel"], found["evaluation.protocol"]) == ("builtin_alfworld_36", "leap")
    other = values(evaluation_overrides([folder], panel="builtin_webshop_40"))
    assert (other["env"], other["env.catalogue"]) == ("webshop", "builtin")
    assert "env.games" not in other
    given = values(evaluation_overrides([folder, "env=webshop"], panel="builtin_webshop_40"))
    assert "env.catalogue" not in given


def test_a_model_of_the_hub_an_adapter_a_folder_and_a_member(tmp_path):
    assert values(evaluation_overrides(["Qwen/Qwen3-0.6B"]))["student.model"] == "Qwen/Qwen3-0.6B"
    assert values(evaluation_overrides(["Qwen/Qwen3-0.6B", "student=vllm"])) == {
        "rounds": 0,
        "student.model": "Qwen/Qwen3-0.6B",
        "student": "vllm",
    }
    assert evaluation_overrides(["gpt4o_mini"]) == ["rounds=0", "student=gpt4o_mini"]
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    found = values(evaluation_overrides([str(adapter)]))
    assert (found["student"], found["student.model"], found["student.adapter"]) == ("hf", "org/base", str(adapter))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert values(evaluation_overrides([str(model)]))["student.model"] == str(model)
    with pytest.raises(ConfigError, match="is not a finished round of a run"):
        evaluation_overrides([str(tmp_path)])
