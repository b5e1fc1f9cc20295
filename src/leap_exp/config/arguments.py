"""The arguments of a run, before Hydra parses them."""

import os.path
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString
from hydra.errors import HydraException

from leap_exp.config.registry import FREE_GROUPS, GROUPS, members, sweep_parameters
from leap_exp.core.errors import ConfigError

_MULTIRUN = {"-m", "--multirun"}
_FOLDER_OPTIONS = {"--config-dir", "-cd", "--config-path", "-cp"}
"""Options whose value is the next argument, and can look like a setting."""


def quote(text: str) -> str:
    """Return ``text`` in quotes, so that Hydra takes it literally."""
    return QuotedString(text, Quote.single).with_quotes()


def quote_values(arguments: Sequence[str]) -> list[str]:
    """Quote the values that Hydra could not read, or would split: paths such as ``privilege=p25,seed=0/round_000``.

    In a sweep, commas also separate values. There, a value with a comma is quoted only if it is an existing path.
    """
    in_sweep = bool(_MULTIRUN & set(arguments))
    former = ["", *arguments[:-1]]
    return [
        argument if before in _FOLDER_OPTIONS else _quote_value(argument, in_sweep=in_sweep)
        for before, argument in zip(former, arguments, strict=False)
    ]


def check_swept_files(arguments: Sequence[str], config_dirs: Sequence[Path]) -> None:
    """Reject a sweep over files that have sweep parameters themselves, because Hydra would drop these.

    Parameters that the arguments set as well are not lost.

    Raises:
        ConfigError: Parameters would be dropped; the message names them and the way out.
    """
    overrides = [override for argument in arguments if (override := _parsed(argument))]
    given = {override.key_or_group for override in overrides}
    for override in overrides:
        group = override.key_or_group
        for member in _swept_members(override, config_dirs) if group in (*GROUPS, *FREE_GROUPS) else ():
            dropped = {k: v for k, v in sweep_parameters(group, member, config_dirs).items() if k not in given}
            if dropped:
                text = " ".join(f"{key}={value}" for key, value in dropped.items())
                raise ConfigError(
                    f"{override.input_line} would drop the sweep over {text} in {group}={member}: add {text} to the "
                    f"command, or sweep over each {group} by itself."
                )


def _quote_value(argument: str, *, in_sweep: bool) -> str:
    name, _, value = argument.partition("=")
    exists = os.path.exists(value)  # noqa: PTH110 - unlike Path.exists, it takes a value that is too long for a path
    override = _parsed(argument)
    if override and not (override.is_sweep_override() and "/" in value and exists):
        return argument
    if in_sweep and "," in value and not exists:
        return argument
    quoted = f"{name}={quote(value)}"
    return quoted if value and _parsed(quoted) else argument


def _parsed(argument: str) -> Override | None:
    """Return the override that ``argument`` is for Hydra, or None if it is none."""
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def _swept_members(override: Override, config_dirs: Sequence[Path]) -> Iterator[str]:
    """Yield the members of a group that ``override`` sweeps over; none if it is no such sweep."""
    value = override.value()
    if isinstance(value, Glob):
        yield from value.filter(members(override.key_or_group, config_dirs))
    elif isinstance(value, ChoiceSweep):
        yield from (each.text if isinstance(each, QuotedString) else str(each) for each in value.list)
