"""Hydra's and OmegaConf's complaints, each in one clear line with what would be valid."""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from leap_exp.config.groups import FREE_GROUPS, GROUP_OF_SCHEMA, SCHEMAS, members
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError

GROUPS = {*SCHEMAS, *FREE_GROUPS, *GROUP_OF_SCHEMA.values()}


def explain(error: Exception) -> str:
    """One line on what is wrong with a command line, and what would be right."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not of the form setting=value; see python -m leap_exp --help."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).removesuffix(".yaml").lstrip("/").rpartition("/")
        if group in GROUPS:
            return f"There is no {group}={name}; choose one of: {', '.join(members(group))}."
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text = " ".join(str(error).split())
    unknown = re.search(r"Could not override '([\w.@/]+)'", text)
    if unknown:
        return _unknown_setting(unknown[1])
    merging = re.search(r"Error merging override (\S+)", text)
    for schema, group in GROUP_OF_SCHEMA.items():
        if merging and f"str is not a subclass of {schema.__name__}" in str(cause):
            return f"{merging[1]} is chosen from a group: write {group}@{merging[1]}."
    if merging and isinstance(cause, OmegaConfBaseException):
        return f"{merging[1]} is not valid: {_first_sentence(cause)}."
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key} has no value: give one, {cause.full_key}=VALUE."
    if isinstance(cause, OmegaConfBaseException) and getattr(cause, "full_key", None):
        return f"{cause.full_key} is not valid: {_first_sentence(cause)}."
    return text


def run_config(cfg: DictConfig) -> RunConfig:
    """The checked RunConfig of a composed configuration.

    Raises:
        ConfigError: a value that cannot be run, or a setting that was added (``+setting=value``) and that nobody reads.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, RunConfig)  # noqa: S101 - config.yaml builds on its schema
    unknown = sorted(_keys(OmegaConf.to_container(cfg)) - _keys(asdict(config)))
    if unknown:
        raise ConfigError(_unknown_setting(unknown[0]))
    return config


def _keys(tree: object, prefix: str = "") -> set[str]:
    """The dotted names of everything in nested mappings."""
    if not isinstance(tree, Mapping):
        return set()
    names = {f"{prefix}{key}": value for key, value in tree.items()}
    return set(names).union(*(_keys(value, f"{name}.") for name, value in names.items()))


def _first_sentence(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _unknown_setting(name: str) -> str:
    """What to say to a setting that does not exist: those that do, on the level where it was looked for."""
    schemas: list[type[Any]] = [RunConfig]
    known: list[str] = []
    for part in name.split("."):
        if known or not schemas:
            break
        inner = [item for schema in schemas for item in fields(schema) if item.name == part]
        if not inner:
            known = sorted({item.name for schema in schemas for item in fields(schema)})
        elif part in SCHEMAS:
            schemas = list(SCHEMAS[part].values())
        else:
            schemas = [item.default_factory for item in inner if is_dataclass(item.default_factory)]  # type: ignore[misc]
    groups = f"; or choose a group member: {', '.join(FREE_GROUPS)}" if "seed" in known else ""
    return f"There is no setting {name!r}; here there are: {', '.join(known)}{groups}."
