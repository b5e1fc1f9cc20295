"""Schemas of the groups ``teacher`` and ``privilege``."""

from dataclasses import dataclass

from leap_exp.config.schema import require_choice, setting
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, Teacher


@dataclass
class TeacherConfig:
    """What every teacher can be set to."""

    def build(self, environment: Environment, *, seed: int) -> Teacher:
        """The teacher, for tasks of ``environment``."""
        raise NotImplementedError


@dataclass
class OracleTeacherConfig(TeacherConfig):
    """The environment's scripted expert, which knows the state of the game."""

    def build(self, environment: Environment, *, seed: int) -> Teacher:
        """The teacher, for tasks of ``environment``."""
        from leap_exp.teachers.oracle import OracleTeacher

        return OracleTeacher(environment, seed=seed)


@dataclass
class PrivilegeConfig:
    """How much of the privileged facts a teacher may use and disclose."""

    disclosure: str = setting("p50", "none, p25, p50, p75 or p100: from no facts at all to saying them outright.")

    def __post_init__(self) -> None:
        """Refuse an unknown level."""
        require_choice("privilege.disclosure", self.disclosure, [level.value for level in Disclosure])

    def build(self) -> Disclosure:
        """The disclosure rule."""
        return Disclosure(self.disclosure)
