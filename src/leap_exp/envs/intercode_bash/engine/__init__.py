"""The engine of InterCode-Bash: queries and file trees, sandboxes, the shell, rewards, and replays of logged runs."""

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxEngine, SandboxKind


def open_engine(kind: SandboxKind, *, base: BaseKind, limits: Limits) -> SandboxEngine:
    """Return an engine for sandboxes of this kind.

    Raises:
        DataError: The base is not installed.
        EnvError: The engine does not work on this machine.
    """
    if kind is SandboxKind.BUBBLEWRAP:
        return BubblewrapEngine(base=base, limits=limits)
    if kind is SandboxKind.DOCKER:
        return _docker(base, limits)
    reasons = []
    for candidate in (SandboxKind.DOCKER, SandboxKind.BUBBLEWRAP):
        try:
            return open_engine(candidate, base=base, limits=limits)
        except EnvError as error:
            reasons.append(f"{candidate}: {error}")
    raise EnvError("Neither Docker nor bubblewrap can make sandboxes here. " + " ".join(reasons))


def _docker(base: BaseKind, limits: Limits) -> SandboxEngine:
    try:
        # The Docker SDK is an optional dependency.
        from leap_exp.envs.intercode_bash.engine.docker_engine import DockerEngine
    except ImportError as error:
        raise EnvError(
            "The Python package docker is not installed: pip install 'leap-exp[docker]', or use env.sandbox=bubblewrap."
        ) from error
    return DockerEngine(base=base, limits=limits)
