"""The text of ``leap run --help``."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, is_dataclass
from pathlib import Path
from typing import Any

from leap_exp.config.registry import FREE_GROUPS, GROUP_OF_CLASS, GROUPS, description, members, settings_classes
from leap_exp.config.run import RunConfig
from leap_exp.core.settings import MISSING as REQUIRED
from leap_exp.core.settings import documentation

USAGE = """\
leap run [GROUP=MEMBER ...] [SETTING=VALUE ...]      one run
leap run -m [...] SETTING=VALUE,VALUE ...            a sweep
leap run --dry-run [...]                             show the plan: stages, tokens, memory, hours, dollars
leap run --cfg job [...]                             show the configuration without running
leap run --config-dir FOLDER [...]                   with further configuration files
leap eval [CHECKPOINT] [...]                         evaluate a student without training (rounds=0)

To resume a run, give its folder as run_dir=FOLDER.
"""


def help_text(config_dirs: Sequence[Path] = ()) -> str:
    """Return usage, all groups with their members, and all settings with their defaults and documentation.

    ``config_dirs`` are further folders of configuration files, as given with ``--config-dir``.
    """
    return "\n".join([USAGE, *_groups(config_dirs), *_settings()])


def _groups(config_dirs: Sequence[Path]) -> Iterator[str]:
    for group in (*GROUPS, *FREE_GROUPS):
        yield f"{group}="
        for member in members(group, config_dirs):
            yield f"  {member:<22}{description(group, member, config_dirs)}".rstrip()
        yield ""


def _settings() -> Iterator[str]:
    yield "Settings of a run"
    yield from _table(RunConfig, "")
    for group in GROUPS:
        shown: set[str] = set()
        for name, kind in settings_classes(group).items():
            rows = [row for row in _table(kind, f"{group}.") if row not in shown]
            shown.update(rows)
            if rows:
                yield f"\nSettings of {group} ({name})"
                yield from rows


def _table(kind: type, prefix: str) -> Iterator[str]:
    for item, doc in documentation(kind):
        if item.name in GROUPS and not prefix:
            continue
        name = f"{prefix}{item.name}"
        inner = item.default_factory
        if not (isinstance(inner, type) and is_dataclass(inner)):
            yield f"  {f'{name}={_default(item)}':<35} {doc}"
            continue
        if group := GROUP_OF_CLASS.get(inner):
            yield f"  {f'{group}@{name}=':<35} {doc}"
        yield from _table(inner, f"{name}.")


def _default(item: Field[Any]) -> str:
    value = item.default if item.default_factory is MISSING else item.default_factory()
    if value is None:
        return "null"
    if value == REQUIRED:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
