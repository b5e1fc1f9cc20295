"""Every configuration file: composes, checks itself, states no default twice; every setting is documented."""

from dataclasses import asdict, fields, is_dataclass

import pytest
import yaml
from hydra import compose, initialize_config_dir

from leap_exp.config.groups import FREE_GROUPS, SCHEMAS, conf_dir, description, members, register, schema_of
from leap_exp.config.help import help_text
from leap_exp.config.refusal import run_config
from leap_exp.config.run import RunConfig

MEMBERS = [(group, member) for group in (*SCHEMAS, *FREE_GROUPS) for member in members(group)]


def composed(*overrides: str) -> RunConfig:
    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return run_config(compose("config", overrides=["run_dir=there", *overrides]))


NEEDED = {("teacher", "vllm"): ["teacher.endpoint.model=served"]}
"""What a member does not go without."""


@pytest.mark.parametrize(("group", "member"), MEMBERS)
def test_every_group_member_makes_a_run(group, member):
    needed = NEEDED.get((group, member), [])
    if group == "student" and not schema_of(group, member).trainable:
        needed = ["rounds=0"]
    config = composed(f"{group}={member}", *needed)
    if group in SCHEMAS:
        assert type(getattr(config, group)) is schema_of(group, member)


@pytest.mark.parametrize(("group", "member"), MEMBERS)
def test_every_group_member_is_described_in_the_help(group, member):
    assert description(group, member)
    assert f"  {member:<22}{description(group, member)}" in help_text()


def test_the_defaults_are_the_issue_s():
    config = composed()
    assert (config.rounds, config.seed, config.privilege.disclosure) == (3, 0, "p25")
    assert {group: type(getattr(config, group)).__name__ for group in SCHEMAS} == {
        "env": "AlfworldConfig",
        "teacher": "OracleTeacherConfig",
        "student": "HfStudentConfig",
        "privilege": "PrivilegeConfig",
        "trainer": "SftConfig",
        "tracker": "WandbConfig",
    }
    assert config.student.model == "smollm2_135m"


def test_a_teacher_that_is_a_language_model_has_the_endpoint_of_its_name():
    for member in ("gpt4o", "gpt4o_mini", "claude", "gemini", "vllm", "local"):
        config = composed(f"teacher={member}", "teacher.endpoint.model=mine", "teacher.mode=step")
        endpoint = yaml.safe_load((conf_dir() / "endpoint" / f"{member}.yaml").read_text())
        assert config.teacher.endpoint.base_url == endpoint["base_url"]
        assert (config.teacher.endpoint.model, config.teacher.mode) == ("mine", "step")


def test_large_models_take_the_paper_s_adapter_and_training():
    for member in ("llama3_8b", "qwen3_4b"):
        config = composed(f"student={member}")
        assert asdict(config.student.lora) == {"r": 128, "alpha": 64, "dropout": 0.05, "top_layers": None}
        assert (config.trainer.learning_rate, config.trainer.warmup_steps) == (3e-5, 10)
        assert (config.trainer.max_grad_norm, config.trainer.validation_share) == (0.3, 0.15)


def deviations(tree, schema):
    """(name, value, default) of the settings that a file's ``tree`` gives, by its schema."""
    defaults = {item.name: item for item in fields(schema)}
    for name, value in tree.items():
        inner = defaults[name].default_factory
        if is_dataclass(inner):
            yield from deviations(value, inner)
        else:
            yield name, value, defaults[name].default if not callable(inner) else inner()


@pytest.mark.parametrize(("group", "member"), [pair for pair in MEMBERS if pair[0] in SCHEMAS])
def test_a_file_holds_deviations_only(group, member):
    text = (conf_dir() / group / f"{member}.yaml").read_text()
    tree = yaml.safe_load(text)
    tree.pop("defaults")
    schema = schema_of(group, member)
    own = tree.get(group, {}) if text.startswith("# @package _global_") else tree
    restated = [name for name, value, default in deviations(own, schema) if value == default]
    assert restated == []


def documented(schema):
    for item in fields(schema):
        yield item
        if is_dataclass(item.default_factory):
            yield from documented(item.default_factory)


@pytest.mark.parametrize("schema", [RunConfig, *(s for schemas in SCHEMAS.values() for s in schemas.values())])
def test_every_setting_has_its_line_of_documentation(schema):
    for item in documented(schema):
        assert item.metadata["doc"].endswith("."), item.name
    assert schema.__doc__.endswith(".")
