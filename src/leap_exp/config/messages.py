"""Hydra's and OmegaConf's errors in one line each, with the valid choices."""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import reduce
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from leap_exp.config.registry import FREE_GROUPS, GROUP_OF_CLASS
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError
from leap_exp.runs.documents import RENAMED_SETTINGS

_EXTRA_OF_LAUNCHER = {"submitit_slurm": "slurm", "submitit_local": "slurm", "joblib": "joblib"}
"""Launchers of Hydra's plugins, with the extra of this package that installs them."""


def explain(error: Exception) -> str:
    """Return one line about what is wrong with a command line, and what is valid."""
    if isinstance(error, OverrideParseException):
        name, _, value = str(error.override).partition("=")
        if "," in value:
            return (
                f"{error.override!r} is not clear: in a sweep, quote each value with special characters, as in "
                f"\"{name}='VALUE','VALUE'\" (the outer quotes are for the shell)."
            )
        return f"{error.override!r} is not of the form setting=value; see leap run --help."
    if missing := _missing_launcher(error):
        extra = _EXTRA_OF_LAUNCHER[missing]
        return f"The launcher {missing} is not installed: pip install 'leap-exp[{extra}]'."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = str(error.missing_cfg_file).removesuffix(".yaml").lstrip("/").rpartition("/")
        options = [option for option in error.options if not option.startswith("schema_")]
        return f"There is no {group}={name}; choose one of: {', '.join(options)}."
    if several := re.match(r"Ambiguous value for argument '(.*)'", str(error)):
        name, _, value = several[1].partition("=")
        return (
            f"{several[1]} has several values: add -m to sweep over them, write {name}=[{value}] for a list, or "
            f"\"{name}='{value}'\" for a single one (the outer quotes are for the shell)."
        )
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _explain_setting(cause)
    return " ".join(str(error).split())


def run_config(cfg: DictConfig) -> RunConfig:
    """Return the checked settings of a composed configuration.

    Raises:
        ConfigError: A value is not valid, or a setting was added (``+setting=value``) that does not exist.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, RunConfig)  # noqa: S101 - conf/config.yaml starts from schema_run
    unknown = sorted(_names(OmegaConf.to_container(cfg)) - _names(asdict(config)))
    if unknown:
        *above, _ = unknown[0].split(".")
        raise ConfigError(_unknown_setting(unknown[0], type(reduce(getattr, above, config))))
    return config


def _missing_launcher(error: Exception) -> str | None:
    """Return the launcher that is not installed, if that is what an error is about."""
    file = str(error.missing_cfg_file or "") if isinstance(error, MissingConfigException) else ""
    group, _, name = file.removesuffix(".yaml").lstrip("/").rpartition("/")
    return name if group == "hydra/launcher" and name in _EXTRA_OF_LAUNCHER else None


def _explain_setting(error: OmegaConfBaseException) -> str:
    name, value, parent = error.full_key or "", getattr(error, "value", None), error.object_type
    if isinstance(error, MissingMandatoryValue):
        return f"{name} has no value: give one, {name}=VALUE."
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)) and is_dataclass(parent):
        return _unknown_setting(name, parent)
    assigned = name if value is None else f"{name}={value}"
    group = _group_of(parent, error.key)
    if group:
        return f"{assigned} is chosen from a group: write {group}@{assigned}."
    return f"{assigned} is not valid: {str(error).splitlines()[0].rstrip('.')}."


def _unknown_setting(name: str, parent: Any) -> str:  # noqa: ANN401 - any dataclass
    group, _, setting = name.rpartition(".")
    if new := RENAMED_SETTINGS.get((group, setting)):
        return f"The setting {name} is now called {group}.{new}."
    known = ", ".join(sorted(item.name for item in fields(parent)))
    groups = f"; or choose a member of a group: {', '.join(FREE_GROUPS)}" if parent is RunConfig else ""
    return f"There is no setting {name!r}; the settings here are: {known}{groups}."


def _group_of(parent: Any, name: object) -> str | None:  # noqa: ANN401 - any class, or None
    """Return the group that fills the setting ``name`` of the settings class ``parent``, if there is one."""
    for item in fields(parent) if is_dataclass(parent) else ():
        if item.name == name and isinstance(item.default_factory, type):
            return GROUP_OF_CLASS.get(item.default_factory)
    return None


def _names(tree: object, prefix: str = "") -> set[str]:
    """Return the dotted names of everything in nested mappings."""
    if not isinstance(tree, Mapping):
        return set()
    names = {f"{prefix}{key}": value for key, value in tree.items()}
    return set(names).union(*(_names(value, f"{name}.") for name, value in names.items()))
