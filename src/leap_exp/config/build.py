"""From settings to the objects of a run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leap_exp.config.messages import explain
from leap_exp.config.panels import choose_panel
from leap_exp.config.registry import member_file, members
from leap_exp.config.run import RunConfig
from leap_exp.core.components import EnvironmentConfig, StudentConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError, EnvError
from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.protocols import Policy, Student, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.envs.controls import EnvironmentWithControl
from leap_exp.envs.facts_file import EnvironmentWithFacts
from leap_exp.envs.thoughts import EnvironmentWithThoughts
from leap_exp.llm import Endpoint
from leap_exp.loop import Leap, evaluate_round
from leap_exp.runs import Journal
from leap_exp.stages.correct import PrivilegeConfig
from leap_exp.stages.evaluate import Panel
from leap_exp.stages.protocol import Protocol
from leap_exp.students.scripted import ExpertPolicy
from leap_exp.teachers.config import OracleTeacherConfig
from leap_exp.teachers.constrained import ConstrainedTeacher
from leap_exp.tokens.renderer import THINK_OR_ACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A run that is ready to start.

    Attributes:
        teacher: The teacher, or None with ``rounds=0``, where the student is only evaluated.
    """

    config: RunConfig
    environment: Environment
    teacher: Teacher | None
    student: Policy
    panel: Panel

    def run(self, journal: Journal) -> None:
        """Train and evaluate or, with ``rounds=0``, only evaluate."""
        config = self.config
        if self.teacher is None:
            with journal.round(0) as round_0:
                entry = evaluate_round(self.student, self.environment, self.panel, round_0, config)
            journal.summarise([entry])
            return
        assert isinstance(self.student, Student)  # noqa: S101 - RunConfig checks it
        Leap(
            config=config,
            environment=self.environment,
            expert=ExpertPolicy(self.environment),
            teacher=self.teacher,
            student=self.student,
            trainer=config.trainer.build().launched(config.launch),
            panel=self.panel,
            journal=journal,
        ).run()


def build(config: RunConfig) -> Experiment:
    """Return the experiment with settings ``config``, without writing anything.

    Raises:
        LeapError: Data, weights, tasks or keys are missing.
    """
    config = under_protocol(config)
    environment = build_environment(
        config.env, config.student, config.evaluation.conditions, privilege=config.privilege, seed=config.seed
    )
    return Experiment(
        config=config,
        environment=environment,
        teacher=_teacher(config, environment) if config.rounds else None,
        student=_student(config, environment),
        panel=choose_panel(config.evaluation, environment),
    )


def build_environment(
    env: EnvironmentConfig,
    student: StudentConfig,
    protocol: Protocol | None,
    *,
    privilege: PrivilegeConfig,
    seed: int,
) -> Environment:
    """Return the environment of a run, ready for episodes.

    Args:
        env: Its settings, with those of the protocol.
        student: The settings of the student that acts in it.
        protocol: The conditions of evaluation.
        privilege: Which facts its privileged ones are.
        seed: The run's seed.

    Raises:
        LeapError: Data are missing, or the protocol has no values for this environment.
    """
    environment = env.build()
    if protocol is not None:
        protocol.step_limit(environment)
        if protocol.answer == THINK_OR_ACT and _writes_freely(student):
            environment = EnvironmentWithThoughts(environment)
    if privilege.facts is not None:
        environment = EnvironmentWithFacts(environment, Path(privilege.facts))
    if privilege.control is not None:
        environment = EnvironmentWithControl(
            environment,
            Control(privilege.control),
            disclosure=Disclosure(privilege.disclosure),
            seed=derive_seed(seed, "control"),
        )
    environment.prepare()
    return environment


def under_protocol(config: RunConfig) -> RunConfig:
    """Return ``config`` with what ``evaluation.protocol`` says about prompts and wording."""
    protocol = config.evaluation.conditions
    if protocol is None:
        return config
    changed = replace(config)
    changed.env, changed.student = worded(config.env, protocol), prompted(config.student, protocol)
    return changed


def worded(env: EnvironmentConfig, protocol: Protocol) -> EnvironmentConfig:
    """Return ``env`` with the protocol's wording, if it or an environment that it joins has this setting."""
    names = _names(env)
    members = {name: getattr(env, name) for name in names if isinstance(getattr(env, name), EnvironmentConfig)}
    changes: dict[str, Any] = {name: worded(member, protocol) for name, member in members.items()}
    if "wording" in names:
        changes["wording"] = protocol.wording
    return replace(env, **changes)


def prompted(student: StudentConfig, protocol: Protocol) -> StudentConfig:
    """Return ``student`` with the protocol's prompts.

    A student that is restricted to the admissible actions keeps its own: it is told the actions in another way, and was
    trained with those prompts.
    """
    if not _writes_freely(student):
        return student
    prompts: dict[str, Any] = {
        "answer": protocol.answer,
        "reasons": protocol.answer != THINK_OR_ACT,
        "list_actions": protocol.list_actions,
    }
    return replace(student, **prompts)


def _writes_freely(student: StudentConfig) -> bool:
    """Return whether a student reads prompts and answers with free text."""
    return "answer" in _names(student) and getattr(student, "decoding", "free") == "free"


def _names(config: EnvironmentConfig | StudentConfig) -> set[str]:
    return {item.name for item in fields(config)}


def build_endpoint(name: str, changes: Sequence[str]) -> Endpoint:
    """Return the endpoint of ``conf/endpoint/NAME.yaml`` with ``changes``, each of the form SETTING=VALUE.

    Raises:
        ConfigError: There is no such endpoint or setting, or a value is not valid.
    """
    file = member_file("endpoint", name)
    if file is None:
        raise ConfigError(f"There is no endpoint {name}; choose one of: {', '.join(members('endpoint'))}.")
    for change in changes:
        if "=" not in change:
            raise ConfigError(f"{change!r} is not of the form SETTING=VALUE, such as model=NAME.")
    try:
        settings = OmegaConf.merge(
            OmegaConf.structured(Endpoint),
            OmegaConf.load(file),
            OmegaConf.from_dotlist(list(changes)),
        )
        endpoint = OmegaConf.to_object(settings)
    except OmegaConfBaseException as error:
        raise ConfigError(f"Endpoint {name}: {explain(error)}") from error
    assert isinstance(endpoint, Endpoint)  # noqa: S101 - the settings start from its class
    return endpoint


def _teacher(config: RunConfig, environment: Environment) -> Teacher:
    if isinstance(environment, EnvironmentWithControl):
        environment = environment.of_teacher
        if isinstance(getattr(config.teacher, "inner", config.teacher), OracleTeacherConfig):
            # Raises an error of the control now, not for each trajectory; the expert may decline this task alone.
            with suppress(EnvError):
                environment.oracle(environment.tasks(config.env.train_split)[0])
    teacher = config.teacher.build(environment, seed=derive_seed(config.seed, "teacher"))
    beta = config.privilege.beta
    return teacher if beta is None else ConstrainedTeacher(teacher, beta=beta, by_student=True)


def _student(config: RunConfig, environment: Environment) -> Policy:
    student = config.student.build(environment)
    if config.checkpoint is None:
        return student
    folder = Path(config.checkpoint)
    assert isinstance(student, Student)  # noqa: S101 - RunConfig checks it
    return student.load(folder, policy_id=f"{student.id}/{folder.resolve().parent.name}")
