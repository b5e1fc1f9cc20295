"""Settings of InterCode-Bash."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import setting
from leap_exp.envs.intercode_bash.engine.sandbox import BaseKind, SandboxKind
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.envs.selection import index_range


@dataclass
class InterCodeBashConfig(EnvironmentConfig):
    """Shell commands in a sandbox that do what a query asks for."""

    builds: ClassVar[str] = "leap_exp.envs.intercode_bash.environment:InterCodeBashEnvironment"
    commands: ClassVar[str] = "leap_exp.envs.intercode_bash.commands"

    max_steps_train: int = setting(10, "Maximum steps of a training episode.", minimum=1)
    max_steps_eval: int = setting(10, "Maximum steps of an evaluation episode.", minimum=1)
    tasks: str = setting(
        "builtin",
        "builtin (generated), official (leap data install intercode), alfa (the corrected requests; leap data install "
        "intercode_alfa) or a folder.",
    )
    sandbox: str = setting(
        "auto", "docker, bubblewrap, or auto: Docker if it is running, else bubblewrap.", choices=tuple(SandboxKind)
    )
    base: str = setting(
        "host",
        "Programs in the sandboxes: host (the machine's own) or rootfs (leap data install intercode_rootfs).",
        choices=tuple(BaseKind),
    )
    quoting: str = setting(
        "original", "How commands reach the shell: original (with its quirks) or exact.", choices=tuple(Quoting)
    )
    builtin_seed: int = setting(0, "Seed of the built-in queries and file trees.")
    select: str = setting("", "Queries of a split to keep: an index range such as 0:50; empty for all.")
    command_seconds: float = setting(10.0, "Seconds after which a command is killed.", minimum=0.1)
    shown_characters: int = setting(
        2000, "Maximum characters of output shown; the middle of longer output is left out.", minimum=100
    )

    def check_together(self) -> None:
        """Check that ``select`` is a range; raises ConfigError."""
        if index_range(self.select or ":") is None:
            raise ConfigError(f"env.select={self.select} is not valid: give an index range such as 0:50.")
