"""Components by name, from entry points and configuration files.

A group such as ``env`` has a member for each file ``conf/env/NAME.yaml``, and for each entry point of
``leap_exp.environments`` without such a file if all its settings have defaults. A file takes its settings class from an
entry point by listing ``schema_NAME`` in its defaults. A package with entry points can ship configuration files in its
own ``conf`` folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

import leap_exp
from leap_exp.config.run import RunConfig
from leap_exp.core.components import EnvironmentConfig, StudentConfig, TeacherConfig, TrackerConfig, TrainerConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import MISSING, Settings
from leap_exp.llm import Endpoint
from leap_exp.stages.correct import PrivilegeConfig

COMPONENTS: Mapping[str, tuple[str, type[Settings]]] = {
    "env": ("leap_exp.environments", EnvironmentConfig),
    "teacher": ("leap_exp.teachers", TeacherConfig),
    "student": ("leap_exp.students", StudentConfig),
    "trainer": ("leap_exp.trainers", TrainerConfig),
    "tracker": ("leap_exp.trackers", TrackerConfig),
}
"""Groups of components, each with its group of entry points and the base of its settings classes."""

GROUPS = ("env", "teacher", "student", "privilege", "trainer", "tracker")
"""Groups whose members have a settings class."""

FREE_GROUPS = ("experiment", "arm", "debug")
"""Groups whose files can set anything in the run."""

GROUP_OF_CLASS: Mapping[type, str] = {TeacherConfig: "teacher", Endpoint: "endpoint"}
"""The group that fills a setting of this class where it is part of another component."""

_SCHEMA = "schema_"


def register() -> None:
    """Make all settings classes, members and configuration folders known to Hydra."""
    store = ConfigStore.instance()
    store.store(name=f"{_SCHEMA}run", node=RunConfig)
    for group in GROUPS:
        for name, kind in settings_classes(group).items():
            store.store(group=group, name=f"{_SCHEMA}{name}", node=kind)
            if name in _members_without_file(group):
                store.store(group=group, name=name, node=kind)
    Plugins.instance().register(_ConfFolders)


@cache
def settings_classes(group: str) -> Mapping[str, type[Any]]:
    """Return the settings classes of ``group`` by the names that they are registered under, sorted.

    Raises:
        ConfigError: An entry point cannot be loaded, or is not a settings class of this group.
    """
    if group not in COMPONENTS:
        return {"level": PrivilegeConfig} if group == "privilege" else {}
    return {entry.name: _load(entry, COMPONENTS[group][1]) for entry in _entry_points(group)}


def members(group: str, config_dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names that ``group=NAME`` takes, sorted.

    ``config_dirs`` are further folders of configuration files, as given with ``--config-dir``.
    """
    folders = [*conf_folders(), *config_dirs]
    names = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    return sorted(names | _members_without_file(group))


def settings_class(group: str, member: str, config_dirs: Sequence[Path] = ()) -> type[Any] | None:
    """Return the settings class of a group's member, or None if it has none, as in the free groups."""
    path = member_file(group, member, config_dirs)
    if path is None or group not in GROUPS:
        return settings_classes(group).get(member)
    tree = OmegaConf.to_container(OmegaConf.load(path))
    for entry in tree.get("defaults", ()) if isinstance(tree, dict) else ():
        if isinstance(entry, str) and entry != "_self_":
            name, _, _ = entry.partition("@")
            if name.startswith(_SCHEMA):
                return settings_classes(group).get(name.removeprefix(_SCHEMA))
            return settings_class(group, name, config_dirs)
    return None


def description(group: str, member: str, config_dirs: Sequence[Path] = ()) -> str:
    """Return one line about a member: the first comment of its file, or the docstring of its settings class."""
    path = member_file(group, member, config_dirs)
    for line in path.read_text(encoding="utf-8").splitlines() if path else ():
        if line.startswith("# ") and not line.startswith("# @"):
            return line.removeprefix("# ")
    kind = settings_class(group, member, config_dirs)
    return ((kind.__doc__ if kind else "") or "").strip().partition("\n")[0]


def member_file(group: str, member: str, config_dirs: Sequence[Path] = ()) -> Path | None:
    """Return the configuration file of a member, or None if it has none."""
    files = (folder / group / f"{member}.yaml" for folder in [*conf_folders(), *config_dirs])
    return next((file for file in files if file.is_file()), None)


def sweep_parameters(group: str, member: str, config_dirs: Sequence[Path] = ()) -> dict[str, str]:
    """Return the settings that a member's file sweeps over (``hydra.sweeper.params``), its defaults included."""
    path = member_file(group, member, config_dirs)
    if path is None:
        return {}
    tree = OmegaConf.load(path)
    found: dict[str, str] = {}
    for entry in OmegaConf.select(tree, "defaults") or ():
        if isinstance(entry, str):
            found |= sweep_parameters(group, entry.partition("@")[0], config_dirs)
    return found | dict(OmegaConf.select(tree, "hydra.sweeper.params") or {})


def conf_dir() -> Path:
    """Return the folder of this package's configuration files: in the package or, in a checkout, at its top."""
    package = Path(leap_exp.__file__).parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"No configuration files in {package / 'conf'}; install leap_exp again.")


@cache
def conf_folders() -> Sequence[Path]:
    """Return all folders of configuration files: this package's, then those of other packages with entry points."""
    packages = {entry.module.partition(".")[0] for group in COMPONENTS for entry in _entry_points(group)}
    folders = [conf_dir()]
    for package in sorted(packages - {leap_exp.__name__}):
        spec = find_spec(package)
        roots = (spec.submodule_search_locations or ()) if spec else ()
        folders += [folder for root in roots if (folder := Path(root) / "conf").is_dir()]
    return folders


class _ConfFolders(SearchPathPlugin):
    """Adds the configuration folders of other packages to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it builds its search path."""
        for folder in conf_folders()[1:]:
            search_path.append(provider=folder.parent.name, path=f"file://{folder}")


def _members_without_file(group: str) -> set[str]:
    """Return the components that need no configuration file, because all their settings have defaults."""
    if group not in COMPONENTS:
        return set()
    return {n for n, kind in settings_classes(group).items() if not member_file(group, n) and _has_defaults(kind)}


def _has_defaults(kind: type[Any]) -> bool:
    return all(
        _has_defaults(item.default_factory) if is_dataclass(item.default_factory) else item.default != MISSING
        for item in fields(kind)
    )


def _entry_points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=COMPONENTS[group][0]), key=lambda entry: entry.name)


def _load(entry: EntryPoint, base: type[Settings]) -> type[Any]:
    origin = f"The entry point {entry.name} = {entry.value} of {entry.group}"
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"
    try:
        kind = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{origin} ({package}) cannot be loaded: {error}. Repair or uninstall the package."
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ConfigError(f"{origin} ({package}) is not a subclass of {base.__module__}.{base.__name__}.")
    return kind
