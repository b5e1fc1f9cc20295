"""Settings of the teachers."""

from dataclasses import dataclass

from leap_exp.core.components import TeacherConfig
from leap_exp.core.environments import Environment
from leap_exp.core.protocols import Teacher
from leap_exp.core.settings import setting, settings
from leap_exp.llm import ChatClient, Endpoint
from leap_exp.teachers.constrained import ConstrainedTeacher
from leap_exp.teachers.llm import CorrectionMode, LlmTeacher
from leap_exp.teachers.oracle import OracleTeacher
from leap_exp.teachers.self_teacher import SelfTeacher, Snapshot


@dataclass
class OracleTeacherConfig(TeacherConfig):
    """The environment's scripted expert, which knows the privileged facts."""

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:  # noqa: ARG002
        """Return the teacher for tasks of ``environment``."""
        return OracleTeacher(environment, seed=seed)


@dataclass
class LlmTeacherConfig(TeacherConfig):
    """A language model behind an OpenAI-compatible server."""

    mode: str = setting(
        "trajectory",
        "What one request covers: trajectory (all its steps) or step (one step).",
        choices=tuple(CorrectionMode),
    )
    endpoint: Endpoint = settings(Endpoint, "The model and its server.")

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """Return the teacher for tasks of ``environment``; raises ProviderError if the API key is not set."""
        client = ChatClient(self.endpoint, place=f"{place}.endpoint")
        return LlmTeacher(client, environment.prompts, mode=CorrectionMode(self.mode), seed=seed)


@dataclass
class SelfTeacherConfig(TeacherConfig):
    """The student itself, with the privileged facts in its prompt."""

    snapshot: str = setting(
        "live",
        "Which student teaches: live (the last round's), round0, or ema (a moving average over the rounds).",
        choices=tuple(Snapshot),
    )
    decay: float = setting(
        0.5,
        "With snapshot=ema: the weight of the previous average when a round's student is added.",
        minimum=0,
        maximum=1,
    )

    min_margin: float | None = setting(
        None,
        "Change a step only if, with the facts, the other action is likelier by this much (nats); null for no limit.",
    )

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:  # noqa: ARG002
        """Return the teacher; its student is given by ``for_student``."""
        return SelfTeacher(snapshot=Snapshot(self.snapshot), decay=self.decay, min_margin=self.min_margin)


@dataclass
class ConstrainedTeacherConfig(TeacherConfig):
    """The best action under privilege among those near an unprivileged policy."""

    inner: TeacherConfig = settings(TeacherConfig, "The privileged teacher to constrain.")
    beta: float = setting(
        1.0,
        "Cost of one nat of distance from the unprivileged policy, in units of the action value; may be inf.",
        minimum=0,
    )
    reference: str = setting(
        "student",
        "The unprivileged policy: student (the last round's), or inner (the inner teacher without facts).",
        choices=("student", "inner"),
    )

    def build(self, environment: Environment, *, seed: int, place: str = "teacher") -> Teacher:
        """Return the teacher around its inner teacher."""
        inner = self.inner.build(environment, seed=seed, place=f"{place}.inner")
        return ConstrainedTeacher(inner, beta=self.beta, by_student=self.reference == "student")
