"""Choosing what makes the sandboxes."""

from __future__ import annotations

from leap_exp.core.errors import ConfigError
from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.sandbox import Limits, SandboxEngine

AUTO, BUBBLEWRAP = "auto", "bubblewrap"
ENGINES = (AUTO, BUBBLEWRAP)


def open_engine(name: str, *, base: str, limits: Limits) -> SandboxEngine:
    """The engine called ``name``.

    Raises:
        ConfigError: There is no such engine.
        EnvError: It cannot be used here.
    """
    if name not in ENGINES:
        raise ConfigError(f"Unknown sandbox {name!r}: choose one of {', '.join(ENGINES)}.")
    return BubblewrapEngine(base=base, limits=limits)
