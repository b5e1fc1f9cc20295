"""Schemas of the groups ``teacher`` and ``privilege``."""

from dataclasses import dataclass
from pathlib import Path

from leap_exp.config.endpoints import EndpointConfig
from leap_exp.config.schema import require_at_least, require_choice, require_share, setting, settings
from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Environment, Teacher


@dataclass
class TeacherConfig:
    """What every teacher can be set to."""

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """The teacher, for tasks of ``environment``; ``place`` is where these settings stand, for its messages."""
        raise NotImplementedError


@dataclass
class OracleTeacherConfig(TeacherConfig):
    """The environment's scripted expert, which knows the state of the game."""

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:  # noqa: ARG002
        """The teacher, for tasks of ``environment``."""
        from leap_exp.teachers.oracle import OracleTeacher

        return OracleTeacher(environment, seed=seed)


@dataclass
class LlmTeacherConfig(TeacherConfig):
    """A language model behind an OpenAI-compatible server."""

    mode: str = setting("trajectory", "trajectory (a request for all its steps at once) or step (a request a step).")
    endpoint: EndpointConfig = settings(EndpointConfig, "The model and its server.")

    def __post_init__(self) -> None:
        """Refuse an unknown mode."""
        require_choice("teacher.mode", self.mode, ("trajectory", "step"))

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """The teacher, for tasks of ``environment``; raises ProviderError if its key is not set."""
        from leap_exp.teachers.llm import LlmTeacher, Mode

        client = self.endpoint.build(f"{place}.endpoint")
        return LlmTeacher(client, environment=environment.name, mode=Mode(self.mode), seed=seed)


@dataclass
class SelfTeacherConfig(TeacherConfig):
    """The student itself, with the privileged facts in its own prompt."""

    snapshot: str = setting(
        "live", "Which student teaches: live (the last round's), round0, or ema (a moving average of all rounds')."
    )
    decay: float = setting(
        0.5, "With snapshot=ema: the share of the average that a new round's student leaves in place."
    )

    def __post_init__(self) -> None:
        """Refuse an unknown snapshot and shares that are none."""
        require_choice("teacher.snapshot", self.snapshot, ("live", "round0", "ema"))
        require_share("teacher.decay", self.decay)

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:  # noqa: ARG002
        """The teacher, which is the student that it comes to follow."""
        from leap_exp.teachers.self_privileged import SelfTeacher, Snapshot

        return SelfTeacher(snapshot=Snapshot(self.snapshot), decay=self.decay)


@dataclass
class ConstrainedTeacherConfig(TeacherConfig):
    """The best action under privilege among those near what is done without the facts."""

    inner: TeacherConfig = settings(TeacherConfig, "The privileged teacher that is constrained.")
    beta: float = setting(
        1.0,
        "What a nat of distance from the unprivileged policy costs, in units of the value; inf for all there is.",
    )
    reference: str = setting(
        "student", "The unprivileged policy: student (the last round's), or inner (without facts)."
    )

    def __post_init__(self) -> None:
        """Refuse unknown policies, and a teacher that seeks distance."""
        require_choice("teacher.reference", self.reference, ("student", "inner"))
        require_at_least("teacher.beta", self.beta, 0)

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """The teacher with the one that it constrains."""
        from leap_exp.teachers.constrained import ConstrainedTeacher

        inner = self.inner.build(environment, seed=seed, place=f"{place}.inner")
        return ConstrainedTeacher(inner, beta=self.beta, by_student=self.reference == "student")


@dataclass
class PrivilegeConfig:
    """How much of the privileged facts a teacher may use and disclose."""

    disclosure: str = setting("p50", "none, p25, p50, p75 or p100: from no facts at all to saying them outright.")
    facts: str | None = setting(
        None, "File of facts (python -m leap_exp.data extract-facts) to use; null for the environment's own."
    )

    def __post_init__(self) -> None:
        """Refuse an unknown level, and a file that is not there."""
        require_choice("privilege.disclosure", self.disclosure, [level.value for level in Disclosure])
        if self.facts is not None and not Path(self.facts).is_file():
            raise ConfigError(f"privilege.facts={self.facts} is not a file.")

    def build(self) -> Disclosure:
        """The disclosure rule."""
        return Disclosure(self.disclosure)

    def inform(self, environment: Environment) -> Environment:
        """``environment`` with the facts that teachers are to be told."""
        from leap_exp.envs.informed import InformedEnvironment

        return environment if self.facts is None else InformedEnvironment(environment, Path(self.facts))
