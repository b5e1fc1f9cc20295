"""The environment and the students of a finished run, from its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leap_exp.analysis.run import Run, read_run
from leap_exp.config.build import build_environment, prompted, worded
from leap_exp.config.messages import explain
from leap_exp.config.panels import choose_panel
from leap_exp.config.registry import settings_class
from leap_exp.core.components import EnvironmentConfig, StudentConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError, StoreError
from leap_exp.core.limits import StepLimit
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy, Student
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, Trajectory
from leap_exp.runs import read_config, read_document, read_records, round_name
from leap_exp.stages.correct import PrivilegeConfig
from leap_exp.stages.evaluate import EvaluationConfig, Panel, evaluate
from leap_exp.stages.probe import Probes, draw_probes
from leap_exp.stages.train import split


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run folder with what its measures need."""

    run: Run
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Read the run in ``folder``; raises StoreError if it has no finished round, or was not trained."""
        run = read_run(folder)
        if not was_trained(folder):
            raise StoreError(f"{folder} was only evaluated, so there are no corrections to measure.")
        return cls(run=run, settings=read_config(folder / "config.yaml"))

    @cached_property
    def evaluation(self) -> EvaluationConfig:
        """How the run was evaluated."""
        return EvaluationConfig(**self.settings["evaluation"])

    @cached_property
    def environment(self) -> Environment:
        """The environment, ready for episodes, under the conditions of the evaluation."""
        conditions, seed = self.evaluation.conditions, self.run.seed
        return build_environment(self._env, self._student, conditions, privilege=self._privilege, seed=seed)

    @cached_property
    def step_limit(self) -> StepLimit:
        """The maximum steps of an episode on the panel."""
        conditions = self.evaluation.conditions
        return conditions.step_limit(self.environment) if conditions else self._env.step_limits.evaluate

    def play(self, policy: Policy, *, sees_all: bool) -> Sequence[Trajectory]:
        """Return one episode of ``policy`` for each task of the panel, as students were evaluated on it.

        A policy that ``sees_all`` reads whole histories, even if the evaluation shows students a part of them.
        """
        conditions = self.evaluation.conditions
        return evaluate(
            policy,
            self.environment,
            self.panel,
            max_steps=self.step_limit,
            batch=self.settings["batch"],
            on_progress=ignore_progress,
            window=conditions.window if conditions and not sees_all else None,
        )

    @cached_property
    def base_student(self) -> Student:
        """The student before any training."""
        student = self._student.build(self.environment)
        assert isinstance(student, Student)  # noqa: S101 - the run has trained it
        return student.local

    def student(self, index: int) -> Student:
        """Return the student after round ``index``; that before any training for -1."""
        if index < 0:
            return self.base_student
        folder = self.run.folder / round_name(index) / "student"
        return self.base_student.load(folder, policy_id=f"{self.base_student.id}/round_{index}")

    @property
    def disclosure(self) -> Disclosure:
        """The rule for using privileged facts."""
        return Disclosure(self._privilege.disclosure)

    @property
    def _privilege(self) -> PrivilegeConfig:
        given = {key: value for key, value in self.settings["privilege"].items() if key != "name"}
        return PrivilegeConfig(**given)

    @cached_property
    def panel(self) -> Panel:
        """The panel of the run."""
        panel = choose_panel(self.evaluation, self.environment)
        if panel.hash != self.run.rounds[0]["panel_hash"]:
            raise StoreError(
                f"The tasks of {panel.split} are not those that {self.run.folder} was evaluated on: install the "
                "data that it used."
            )
        return panel

    @cached_property
    def _env(self) -> EnvironmentConfig:
        config = component("env", self.settings["env"])
        assert isinstance(config, EnvironmentConfig)  # noqa: S101 - members of a group have its base
        conditions = self.evaluation.conditions
        return worded(config, conditions) if conditions else config

    @cached_property
    def _student(self) -> StudentConfig:
        config = component("student", self.settings["student"])
        assert isinstance(config, StudentConfig)  # noqa: S101 - as above
        conditions = self.evaluation.conditions
        return prompted(config, conditions) if conditions else config

    def seed_for(self, index: int, stage: str) -> int:
        """Return the seed of a stage in a round, as the run's journal derives it."""
        seeds = self.run.provenance.get("seeds", {})
        seed = seeds.get("round_0_seed", self.run.seed) if index == 0 else self.run.seed
        return derive_seed(seed, "round", index, stage)

    def probes(self, index: int) -> Probes:
        """Return the corrections of a round that the run has scored before and after its training.

        There are none in a round that learns from demonstrations alone.
        """
        path = self.run.folder / round_name(index) / "corrections.jsonl"
        corrections = read_records(path).of(Correction) if path.exists() else []
        return draw_probes(
            *split(corrections, self.settings["trainer"]["validation_share"]),
            size=self.settings["probes"],
            seed=self.seed_for(index, "probe"),
        )

    def logprobs(self, index: int, *, after: bool) -> dict[str, list[float]]:
        """Return the log-probabilities of the probes of a round by sample, before or after its training."""
        name = "logprobs_after" if after else "logprobs_before"
        return read_document(self.run.folder / round_name(index) / f"{name}.json")


def ignore_progress(done: int, total: int) -> None:
    """Show no progress within a round."""


def was_trained(folder: Path) -> bool:
    """Return whether the run in ``folder`` has corrections; one with ``rounds=0`` has none."""
    return (folder / round_name(0) / "corrections.jsonl").exists()


def component(group: str, data: Mapping[str, Any]) -> object:
    """Return the settings of a component as a run folder has them.

    Raises:
        ConfigError: The component is not installed, or has other settings now.
    """
    kind = settings_class(group, data["name"])
    if kind is None:
        raise ConfigError(f"There is no {group}={data['name']}; install the package that the run used.")
    given = {key: value for key, value in data.items() if key != "name"}
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), given))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{group}={data['name']}: {explain(error)}") from error
