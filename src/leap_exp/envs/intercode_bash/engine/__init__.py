"""The engine of InterCode-Bash: queries and file trees, sandboxes, the shell, rewards, and replays of logged runs."""

from leap_exp.core.errors import EnvError
from leap_exp.envs.intercode_bash.engine.bubblewrap import BubblewrapEngine
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, Limits, SandboxEngine, SandboxKind

_DOCKER, _BUBBLEWRAP = _KINDS = (SandboxKind.DOCKER, SandboxKind.BUBBLEWRAP)
"""In the order in which ``auto`` tries them."""


def open_engine(kind: SandboxKind, *, base: BaseKind, limits: Limits) -> SandboxEngine:
    """Return an engine for sandboxes of this kind, after checking that it works on this machine.

    Raises:
        DataError: The base is not installed.
        EnvError: The engine does not work on this machine.
    """
    kinds = _KINDS if kind is SandboxKind.AUTO else (kind,)
    reasons = []
    for candidate in kinds:
        try:
            return BubblewrapEngine(base=base, limits=limits) if candidate is _BUBBLEWRAP else _docker(base, limits)
        except EnvError as error:
            reasons.append(str(error))
    if kind is not SandboxKind.AUTO:
        (other,) = {*_KINDS} - {kind}
        raise EnvError(f"{reasons[0]} Or use env.sandbox={other}.")
    both = " ".join(f"{candidate}: {reason}" for candidate, reason in zip(kinds, reasons, strict=True))
    raise EnvError(f"Neither Docker nor bubblewrap can make sandboxes here; one of them is needed. {both}")


def _docker(base: BaseKind, limits: Limits) -> SandboxEngine:
    try:
        # The Docker SDK is an optional dependency.
        from leap_exp.envs.intercode_bash.engine.docker_engine import DockerEngine
    except ImportError as error:
        raise EnvError("The Python package docker is not installed: pip install 'leap-exp[docker]'.") from error
    return DockerEngine(base=base, limits=limits)
