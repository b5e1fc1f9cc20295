"""Choosing what makes the sandboxes."""

from __future__ import annotations

from leap_exp.core.errors import ConfigError, EnvError
from leap_exp.envs.intercode_bash.sandbox import Limits, SandboxEngine

AUTO, BUBBLEWRAP, DOCKER = "auto", "bubblewrap", "docker"
ENGINES = (AUTO, BUBBLEWRAP, DOCKER)


def open_engine(name: str, *, base: str, limits: Limits) -> SandboxEngine:
    """The engine called ``name``; "auto" is Docker if an engine answers, else bubblewrap.

    Raises:
        ConfigError: There is no such engine.
        DataError: The base is not installed.
        EnvError: It cannot be used here.
    """
    if name == BUBBLEWRAP:
        from leap_exp.envs.intercode_bash.bubblewrap import BubblewrapEngine

        return BubblewrapEngine(base=base, limits=limits)
    if name == DOCKER:
        return _docker(base, limits)
    if name != AUTO:
        raise ConfigError(f"Unknown sandbox {name!r}: choose one of {', '.join(ENGINES)}.")
    reasons = []
    for candidate in (DOCKER, BUBBLEWRAP):
        try:
            return open_engine(candidate, base=base, limits=limits)
        except EnvError as error:
            reasons.append(f"{candidate}: {error}")
    raise EnvError("There is nothing to make sandboxes with. " + " ".join(reasons))


def _docker(base: str, limits: Limits) -> SandboxEngine:
    try:
        from leap_exp.envs.intercode_bash.docker_engine import DockerEngine
    except ImportError as error:
        raise EnvError(
            "The Python package docker is not installed: pip install 'leap-exp[docker]', or take "
            "env.sandbox=bubblewrap."
        ) from error
    return DockerEngine(base=base, limits=limits)
