"""The groups of the configuration and where their files lie.

A new environment, teacher, student or trainer needs its schema in ``SCHEMAS`` and a file in the group's folder.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from hydra.core.config_store import ConfigStore

import leap_exp
from leap_exp.config.endpoints import EndpointConfig
from leap_exp.config.environments import AlfworldConfig, InterCodeBashConfig, WebShopConfig
from leap_exp.config.run import RunConfig
from leap_exp.config.students import ApiStudentConfig, ExpertConfig, HfStudentConfig, RandomConfig, VllmStudentConfig
from leap_exp.config.teachers import (
    ConstrainedTeacherConfig,
    LlmTeacherConfig,
    OracleTeacherConfig,
    PrivilegeConfig,
    SelfTeacherConfig,
    TeacherConfig,
)
from leap_exp.config.trackers import JsonlConfig, WandbConfig
from leap_exp.config.trainers import SftConfig
from leap_exp.core.errors import ConfigError

SCHEMAS: Mapping[str, Mapping[str, type]] = {
    "env": {"alfworld": AlfworldConfig, "intercode_bash": InterCodeBashConfig, "webshop": WebShopConfig},
    "teacher": {
        "oracle": OracleTeacherConfig,
        "llm": LlmTeacherConfig,
        "self": SelfTeacherConfig,
        "constrained": ConstrainedTeacherConfig,
    },
    "student": {
        "hf": HfStudentConfig,
        "vllm": VllmStudentConfig,
        "api": ApiStudentConfig,
        "expert": ExpertConfig,
        "random": RandomConfig,
    },
    "privilege": {"level": PrivilegeConfig},
    "trainer": {"sft": SftConfig},
    "tracker": {"jsonl": JsonlConfig, "wandb": WandbConfig},
}
"""The schemas of each group by name; the group's files build on ``schema_NAME``."""

FREE_GROUPS = ("experiment", "debug")
"""Groups whose files set anything in the run."""


GROUP_OF_SCHEMA: Mapping[type, str] = {TeacherConfig: "teacher", EndpointConfig: "endpoint"}
"""The group that a setting of a schema is chosen from, where that stands within another group's."""


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema_run", node=RunConfig)
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            store.store(group=group, name=f"schema_{name}", node=schema)


def conf_dir() -> Path:
    """The folder of configuration files: beside the package in a wheel, at the top of the repository in a checkout."""
    package = Path(leap_exp.__file__).parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"No configuration files in {package / 'conf'}; install leap_exp again.")


def members(group: str) -> list[str]:
    """The names that ``group=NAME`` takes, sorted."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def schema_of(group: str, member: str) -> type | None:
    """The schema that a group member's file builds on; None if it has none, as in the free groups."""
    text = (conf_dir() / group / f"{member}.yaml").read_text(encoding="utf-8")
    match = re.search(r"schema_(\w+)", text)
    return SCHEMAS.get(group, {}).get(match[1]) if match else None


def description(group: str, member: str) -> str:
    """A line on a group member: the first comment of its file that is no directive, or else its schema's docstring."""
    text = (conf_dir() / group / f"{member}.yaml").read_text(encoding="utf-8")
    comments = re.findall(r"^# (?!@)(.*)$", text, flags=re.MULTILINE)
    schema = schema_of(group, member)
    return comments[0] if comments else (schema.__doc__ or "").strip() if schema else ""
