"""From a configuration to the objects that a run consists of."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from leap_exp.aggregate import Aggregation
from leap_exp.config.run import RunConfig
from leap_exp.core.protocols import Environment, Policy, Student, Teacher
from leap_exp.core.seeding import derive_seed
from leap_exp.evaluate import Panel, draw_panel
from leap_exp.loop import Leap, Plan, evaluate_policy
from leap_exp.store import Journal


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A run, ready to go. Building it finds what is missing or wrong before anything is written.

    ``teacher`` is None where there is nothing to teach, with rounds=0.
    """

    config: RunConfig
    environment: Environment
    teacher: Teacher | None
    student: Policy
    panel: Panel
    round_0_seed: int

    def run(self, journal: Journal) -> None:
        """Train and evaluate, or with rounds=0 evaluate only."""
        if self.teacher is not None:
            self._leap(self.teacher, journal).run()
            return
        env = self.config.env
        with journal.round(0) as round_0:
            entry = evaluate_policy(
                self.student,
                self.environment,
                self.panel,
                round_0,
                max_steps=env.max_steps_eval,
                batch=self.config.batch,
            )
        journal.summarise([entry])

    def _leap(self, teacher: Teacher, journal: Journal) -> Leap:
        from leap_exp.students.scripted import ExpertPolicy

        config = self.config
        return Leap(
            environment=self.environment,
            expert=ExpertPolicy(self.environment),
            teacher=teacher,
            student=cast("Student", self.student),  # RunConfig refuses to train one that is not trainable
            trainer=config.trainer.build(),
            panel=self.panel,
            plan=plan(config, round_0_seed=self.round_0_seed),
            journal=journal,
        )


def build(config: RunConfig, *, round_0_seed: int) -> Experiment:
    """The experiment that ``config`` describes.

    Raises:
        LeapError: data, weights, tasks or keys that ``config`` asks for are missing.
    """
    environment = config.privilege.inform(config.env.build())
    evaluation = config.evaluation
    panel = draw_panel(
        environment.tasks(evaluation.split),
        split=evaluation.split,
        size=evaluation.tasks,
        seed=evaluation.panel_seed,
    )
    return Experiment(
        config=config,
        environment=environment,
        teacher=config.teacher.build(environment, seed=derive_seed(config.seed, "teacher")) if config.rounds else None,
        student=config.student.build(environment),
        panel=panel,
        round_0_seed=round_0_seed,
    )


def plan(config: RunConfig, *, round_0_seed: int) -> Plan:
    """The numbers of ``config`` that the loop goes by."""
    source = config.demonstrations.source
    return Plan(
        rounds=config.rounds,
        seed=config.seed,
        round_0_seed=round_0_seed,
        train_split=config.env.train_split,
        demonstrations=config.demonstrations.count if source == "expert" else Path(source),
        rollouts=config.rollouts.tasks,
        stop_when_stuck=config.rollouts.stop_when_stuck,
        disclosure=config.privilege.build(),
        max_score=config.correct.max_score,
        aggregation=Aggregation(config.aggregate),
        start_from_base=config.start_from == "base",
        probes=config.probes,
        max_steps_train=config.env.max_steps_train,
        max_steps_eval=config.env.max_steps_eval,
        batch=config.batch,
    )
