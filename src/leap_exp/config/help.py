"""What ``python -m leap_exp --help`` prints."""

from collections.abc import Iterator
from dataclasses import Field, is_dataclass
from typing import Any

from leap_exp.config.groups import FREE_GROUPS, GROUP_OF_SCHEMA, SCHEMAS, description, members
from leap_exp.config.run import RunConfig
from leap_exp.config.schema import documentation

USAGE = """\
python -m leap_exp [GROUP=MEMBER ...] [SETTING=VALUE ...]      one run
python -m leap_exp -m [...] SETTING=VALUE,VALUE ...            a sweep
python -m leap_exp --cfg job [...]                             show the configuration, run nothing

Give run_dir=FOLDER to go on with a run that was stopped. rounds=0 evaluates the student as it is.
"""


def help_text() -> str:
    """Usage, the groups with their members, and every setting with its default and its line of documentation."""
    return "\n".join([USAGE, *_groups(), *_settings()])


def _groups() -> Iterator[str]:
    for group in (*SCHEMAS, *FREE_GROUPS):
        yield f"{group}="
        for member in members(group):
            yield f"  {member:<22}{description(group, member)}"
        yield ""


def _settings() -> Iterator[str]:
    yield "Settings of a run"
    yield from _table(RunConfig, "")
    for group, schemas in SCHEMAS.items():
        shown: set[str] = set()
        for name, schema in schemas.items():
            rows = [row for row in _table(schema, f"{group}.") if row not in shown]
            shown.update(rows)
            if rows:
                yield f"\nSettings of {group} ({name})"
                yield from rows


def _table(schema: type, prefix: str) -> Iterator[str]:
    for item, doc in documentation(schema):
        if item.name in SCHEMAS and not prefix:
            continue
        name = f"{prefix}{item.name}"
        if not (is_dataclass(item.default_factory) and isinstance(item.default_factory, type)):
            yield f"  {f'{name}={_default(item)}':<35} {doc}"
        elif group := GROUP_OF_SCHEMA.get(item.default_factory):
            yield f"  {f'{group}@{name}=':<35} {doc}"
            yield from _table(item.default_factory, f"{name}.")
        else:
            yield from _table(item.default_factory, f"{name}.")


def _default(item: Field[Any]) -> str:
    value = item.default_factory() if callable(item.default_factory) else item.default
    if value is None:
        return "null"
    return {"???": ""}.get(str(value), str(value).lower() if isinstance(value, bool) else str(value))
