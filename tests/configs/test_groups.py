"""Every member of every group composes, is documented, and repeats no default."""

from dataclasses import asdict, fields, is_dataclass

import pytest
import yaml
from hydra import compose, initialize_config_dir

from leap_exp.config.help import help_text
from leap_exp.config.messages import run_config
from leap_exp.config.registry import (
    FREE_GROUPS,
    GROUPS,
    conf_dir,
    description,
    members,
    register,
    settings_class,
    settings_classes,
    sweep_parameters,
)
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError

MEMBERS = [(group, member) for group in (*GROUPS, *FREE_GROUPS) for member in members(group)]
FILES = sorted(path for group in GROUPS for path in (conf_dir() / group).glob("*.yaml"))


def composed(*overrides: str) -> RunConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=there", *overrides]))


NEEDED = {("student", "hf"): ["student.model=tiny"], ("teacher", "vllm"): ["teacher.endpoint.model=served"]}
"""Settings without a default."""


@pytest.mark.parametrize(("group", "member"), MEMBERS)
def test_every_group_member_makes_a_run(group, member):
    needed = list(NEEDED.get((group, member), []))
    if group == "student" and not settings_class(group, member).trainable:
        needed.append("rounds=0")
    config = composed(f"{group}={member}", *needed)
    if group in GROUPS:
        assert type(getattr(config, group)) is settings_class(group, member)


@pytest.mark.parametrize(("group", "member"), MEMBERS)
def test_every_group_member_is_described_in_the_help(group, member):
    assert description(group, member)
    assert f"  {member:<22}{description(group, member)}" in help_text()


def test_the_default_run():
    config = composed()
    assert (config.rounds, config.seed, config.privilege.disclosure) == (3, 0, "p25")
    assert {group: type(getattr(config, group)).__name__ for group in GROUPS} == {
        "env": "AlfworldConfig",
        "teacher": "OracleTeacherConfig",
        "student": "HfStudentConfig",
        "privilege": "PrivilegeConfig",
        "trainer": "SftConfig",
        "tracker": "WandbConfig",
    }
    assert config.student.model == "smollm2_135m"


def test_a_language_model_teacher_has_the_endpoint_of_its_name():
    for member in ("gpt4o", "gpt4o_mini", "claude", "gemini", "vllm", "local"):
        config = composed(f"teacher={member}", "teacher.endpoint.model=mine", "teacher.mode=step")
        endpoint = yaml.safe_load((conf_dir() / "endpoint" / f"{member}.yaml").read_text())
        assert config.teacher.endpoint.base_url == endpoint["base_url"]
        assert (config.teacher.endpoint.model, config.teacher.mode) == ("mine", "step")


def composed_student(member):
    needed = NEEDED.get(("student", member), [] if settings_class("student", member).trainable else ["rounds=0"])
    return composed(f"student={member}", *needed).student


@pytest.mark.parametrize(
    ("member", "model", "thinking"),
    [
        ("qwen2_5_1_5b", "Qwen/Qwen2.5-1.5B-Instruct", None),
        ("qwen2_5_3b", "Qwen/Qwen2.5-3B-Instruct", None),
        ("qwen2_5_7b", "Qwen/Qwen2.5-7B-Instruct", None),
        ("qwen3_1_7b", "Qwen/Qwen3-1.7B", False),
        ("qwen3_8b", "Qwen/Qwen3-8B", False),
        ("qwen3_5_4b", "Qwen/Qwen3.5-4B", False),
        ("llama3_2_1b", "meta-llama/Llama-3.2-1B-Instruct", None),
        ("llama3_2_3b", "meta-llama/Llama-3.2-3B-Instruct", None),
        ("gemma3_1b", "google/gemma-3-1b-it", None),
        ("gemma3_4b", "google/gemma-3-4b-it", None),
        ("mistral_7b", "mistralai/Mistral-7B-Instruct-v0.3", None),
        ("smollm3_3b", "HuggingFaceTB/SmolLM3-3B", False),
    ],
)
def test_a_preset_is_the_model_of_its_name(member, model, thinking):
    student = composed(f"student={member}").student
    assert (student.model, student.thinking) == (model, thinking)
    assert composed(f"student={member}", "student.temperature=0.7", "student.top_k=20").student.varies


def test_large_models_have_the_settings_of_the_paper():
    hub = [member for member in members("student") if "/" in getattr(composed_student(member), "model", "")]
    assert len(hub) >= 16
    for member in hub:
        config = composed(f"student={member}")
        assert asdict(config.student.lora) == {"r": 128, "alpha": 64, "dropout": 0.05, "top_layers": None}
        assert (config.trainer.learning_rate, config.trainer.warmup_steps) == (3e-5, 10)
        assert (config.trainer.max_grad_norm, config.trainer.validation_share) == (0.3, 0.15)


def deviations(tree, schema):
    """Yield (name, value, default) of the settings in a file's ``tree``."""
    defaults = {item.name: item for item in fields(schema)}
    for name, value in tree.items():
        inner = defaults[name].default_factory
        if is_dataclass(inner):
            yield from deviations(value, inner)
        else:
            yield name, value, defaults[name].default if not callable(inner) else inner()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_only_has_deviations_from_the_defaults(path):
    group = path.parent.name
    text = path.read_text()
    tree = yaml.safe_load(text)
    tree.pop("defaults")
    own = tree.get(group, {}) if text.startswith("# @package _global_") else tree
    repeated = [name for name, value, default in deviations(own, settings_class(group, path.stem)) if value == default]
    assert repeated == []


def documented(schema):
    for item in fields(schema):
        yield item
        if is_dataclass(item.default_factory):
            yield from documented(item.default_factory)


@pytest.mark.parametrize(
    "schema", [RunConfig, *(kind for group in GROUPS for kind in settings_classes(group).values())]
)
def test_every_setting_is_documented(schema):
    for item in documented(schema):
        assert item.metadata["doc"].endswith("."), item.name
    assert schema.__doc__.endswith(".")


def test_a_student_has_its_training_settings_with_every_trainer():
    preferring = composed("trainer=dpo", "student=smollm2_135m").trainer
    assert (preferring.learning_rate, preferring.cloning.learning_rate, preferring.epochs) == (2e-5, 1e-3, 1)
    assert composed("trainer=dpo", "student=llama3_8b").trainer.learning_rate == 5e-7
    staged = composed("trainer=sft_dpo", "student=smollm2_135m", "trainer.stages.dpo.beta=0.1").trainer
    assert list(staged.stages) == ["sft", "dpo"]
    assert (staged.stages["sft"].learning_rate, staged.stages["dpo"].learning_rate) == (1e-3, 2e-5)
    assert (staged.stages["dpo"].beta, staged.cloning.learning_rate) == (0.1, 1e-3)
    own = composed("trainer=kto", "student=smollm2_135m", "trainer.learning_rate=0.5", "trainer.validation_share=0.3")
    assert (own.trainer.learning_rate, own.trainer.cloning.validation_share) == (0.5, 0.3)


@pytest.mark.parametrize("path", sorted((conf_dir() / "trainer" / "student").glob("*/*.yaml")))
def test_a_file_for_a_student_s_training_is_of_a_student_and_a_trainer(path):
    assert path.parent.name in members("student")
    assert path.stem in members("trainer")
    assert path.read_text().startswith("# ")


def test_a_teacher_model_is_given_exactly_if_it_teaches():
    assert composed("trainer=distill", "trainer.teacher=other", "trainer.teacher_model=tiny").trainer.teacher == "other"
    for wrong in (["trainer.teacher=other"], ["trainer.teacher_model=tiny"]):
        with pytest.raises(ConfigError, match="does not go with"):
            composed("trainer=distill", *wrong)


def test_demonstrations_are_only_briefed_where_there_are_facts():
    assert composed("demonstrations.briefed_share=0.5").demonstrations.briefed_share == 0.5
    with pytest.raises(ConfigError, match="needs facts"):
        composed("demonstrations.briefed_share=0.5", "privilege=none")


SWEPT_ARMS = [
    (experiment, arm)
    for experiment in members("experiment")
    for arm in sweep_parameters("experiment", experiment).get("arm", "").split(",")
    if arm
]


@pytest.mark.parametrize(("experiment", "arm"), SWEPT_ARMS)
def test_every_arm_of_an_experiment_fits_it_and_trains_on_as_many_tokens(experiment, arm):
    config = composed(f"experiment={experiment}", f"arm={arm}")
    assert config.trainer.max_tokens == composed(f"experiment={experiment}").trainer.max_tokens > 0
    assert (config.learn_from == "demonstrations") == (arm == "length_control")
