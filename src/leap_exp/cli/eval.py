"""``leap eval``: evaluate a student on the panel, without training."""

from collections.abc import Sequence
from pathlib import Path

from leap_exp.cli import run
from leap_exp.cli.commands import EXIT_CONFIG, print_error
from leap_exp.config.arguments import quote
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.runs import read_config

HELP = """\
leap eval [CHECKPOINT] [GROUP=MEMBER ...] [SETTING=VALUE ...]

Evaluates a student on the panel: leap run with rounds=0. CHECKPOINT is the folder of a finished round, such as
outputs/.../round_003, or its student folder; round=FOLDER is the same. Environment, student and panel are then those of
its run, unless other arguments change them. Without a checkpoint, choose any student:

  leap eval outputs/2026-11-27/10-00-00/round_003 evaluation.split=valid_seen
  leap eval student=gpt4o_mini evaluation.tasks=20
  leap eval student.adapter=FOLDER

leap run --help lists all groups and settings.
"""

_GROUPS = ("env", "student")
_SETTINGS = ("evaluation", "batch")


def main(arguments: Sequence[str]) -> int:
    """Evaluate what ``arguments`` describe and return the exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    try:
        overrides = evaluation_overrides(arguments)
    except LeapError as error:
        print_error(error)
        return EXIT_CONFIG
    return run.main(overrides, command="leap eval")


def evaluation_overrides(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of ``leap run`` that evaluate what the arguments of ``leap eval`` describe.

    Raises:
        ConfigError: The checkpoint is not a folder of a run, or ``rounds`` is given.
    """
    given = {argument.partition("=")[0] for argument in arguments}
    if "rounds" in given:
        raise ConfigError("leap eval does not train, so it takes no rounds; use leap run.")
    folder = next((argument.partition("=")[2] for argument in arguments if argument.startswith("round=")), None)
    others = [argument for argument in arguments if not argument.startswith("round=")]
    if folder is None and others and _is_checkpoint(others[0]):
        folder = others.pop(0)
    if folder is None:
        return ["rounds=0", *others]
    return ["rounds=0", *_of_checkpoint(Path(folder), given), *others]


def _is_checkpoint(argument: str) -> bool:
    """Return whether an argument is a folder, not an option or a setting; a sweep's folders have a ``=`` too."""
    name, is_setting, _ = argument.partition("=")
    is_path = "/" in name and not name.startswith("hydra/")
    return Path(argument).is_dir() or is_path or not (argument.startswith("-") or is_setting)


def _of_checkpoint(folder: Path, given: set[str]) -> list[str]:
    """Return overrides for the student of a round with its run's settings, except for the groups in ``given``."""
    student = folder if folder.name == "student" else folder / "student"
    configs = [student.parent / "config.yaml", student.parent.parent / "config.yaml"]
    file = next((each for each in configs if each.is_file()), None)
    if not student.is_dir() or file is None:
        raise ConfigError(f"{folder} is not a finished round of a run; give a folder such as RUN_DIR/round_003.")
    config = read_config(file)
    overrides = [f"checkpoint={_quoted(str(student))}"]
    for group in _GROUPS:
        if group not in given:
            overrides.append(f"{group}={config[group]['name']}")
            overrides += [f"{group}.{key}={_quoted(value)}" for key, value in config[group].items() if key != "name"]
    for key in _SETTINGS:
        overrides.append(f"{key}={_quoted(config[key])}")
    return overrides


def _quoted(value: object) -> str:
    """Return ``value`` in the grammar of Hydra's overrides."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_quoted, value)) + "]"
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
