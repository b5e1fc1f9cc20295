"""LEAP (Choudhury & Sodhi 2025): a student learns, round by round, from a teacher that knows what it cannot see.

D_0   demonstrations; π_0 = fine-tune(base, D_0)                  (behaviour cloning)
for i = 1..N:
    rollout    π_{i-1} acts on sampled training tasks, alone or mixed with the teacher
    correct    the privileged teacher relabels trajectories with a low score
    aggregate  D_i = D_{i-1} + corrections                        (DAgger)
    train      π_i = fine-tune(π_{i-1}, D_i)
    evaluate   π_i on a fixed panel, without any privileged facts
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import ClassVar

from leap_exp.analysis.run import measured_metrics
from leap_exp.core.components import EnvironmentConfig, TrainerConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError, DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import Policy, ProgressCallback, Student, Teacher, Trainer
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting, settings
from leap_exp.core.types import Correction, CorrectionFailure, Example, Trajectory
from leap_exp.runs import Journal, RoundJournal, encode_metrics, read_records
from leap_exp.stages.aggregate import Aggregation, aggregate, aggregation_metrics, select
from leap_exp.stages.correct import (
    CorrectConfig,
    PrivilegeConfig,
    Selection,
    correct,
    correction_metrics,
    select_trajectories,
)
from leap_exp.stages.demonstrations import imitate, with_briefings
from leap_exp.stages.evaluate import EvaluationConfig, Panel, assess, assessment_metrics, evaluate, summary_entry
from leap_exp.stages.measure import Subject, check_measures, measure_round
from leap_exp.stages.mixture import Mixture, Schedule, TeacherSteps, teacher_metrics, teacher_share
from leap_exp.stages.probe import draw_probes, probe, probe_metrics
from leap_exp.stages.recover import recover
from leap_exp.stages.rollout import RolloutsConfig, require_tasks, rollout, sample_tasks
from leap_exp.stages.train import split

FROM_EXPERT = "expert"

Produced = tuple[Sequence[Trajectory], dict[str, float]]


class LearnFrom(StrEnum):
    """What the rounds after behaviour cloning add to the demonstrations."""

    CORRECTIONS = "corrections"
    """The teacher's corrections of the student's rollouts."""
    SUCCESSES = "successes"
    """The student's own successful rollouts, imitated as they are (expert iteration)."""
    DEMONSTRATIONS = "demonstrations"
    """Nothing: the student goes on training on the demonstrations. The control for the length of training."""


@dataclass
class DemonstrationsConfig(Settings):
    """What π_0 is cloned from."""

    place: ClassVar[str] = "demonstrations"

    count: int = setting(100, "Training tasks that the expert demonstrates without privileged facts.", minimum=1)
    source: str = setting(FROM_EXPERT, "expert, or a trajectories.jsonl with demonstrations.")
    briefed_share: float = setting(
        0.0,
        "Share of demonstrations that are cloned with the privileged facts in the prompt, for teacher=self.",
        minimum=0,
        maximum=1,
    )

    def check_together(self) -> None:
        """Check that the file exists."""
        if self.source != FROM_EXPERT and not Path(self.source).is_file():
            raise ConfigError(f"demonstrations.source={self.source} is neither 'expert' nor a file.")


@dataclass
class LoopConfig(Settings):
    """The settings of the loop."""

    env: EnvironmentConfig = settings(EnvironmentConfig, "The environment.")
    privilege: PrivilegeConfig = settings(PrivilegeConfig, "What the teacher may use and disclose.")
    trainer: TrainerConfig = settings(TrainerConfig, "How the student learns.")
    seed: int = setting(0, "Seed of everything random in the run, except the panel and the games.")
    rounds: int = setting(3, "Rounds after behaviour cloning; 0 evaluates the student without training.", minimum=0)
    learn_from: str = setting(
        "corrections",
        "What rounds add to the demonstrations: corrections of the student's rollouts, its own successes, or nothing "
        "(demonstrations: the control for the length of training).",
        choices=tuple(LearnFrom),
    )
    demonstrations: DemonstrationsConfig = settings(DemonstrationsConfig, "What behaviour cloning starts from.")
    rollouts: RolloutsConfig = settings(RolloutsConfig, "Where the student acts in order to be corrected.")
    correct: CorrectConfig = settings(CorrectConfig, "Which trajectories are corrected.")
    aggregate: str = setting(
        "all",
        "Training set of a round: all rounds so far, balanced (as many from each round) or the latest.",
        choices=[how.value for how in Aggregation],
    )
    start_from: str = setting("previous", "Student that a round's training starts from.", choices=("previous", "base"))
    evaluation: EvaluationConfig = settings(EvaluationConfig, "The panel.")
    batch: int = setting(32, "Episodes at a time.", minimum=1)
    probes: int = setting(16, "Trajectories per sample on which realizability is measured.", minimum=0)
    measures: list[str] = settings(
        list,
        "What else is measured on them: distributions, briefing, information, recoverability; see docs/measures.md.",
    )

    def check_together(self) -> None:
        """Check the measures, and that there are facts for demonstrations that are to be cloned with them."""
        check_measures(self.measures)
        if self.demonstrations.briefed_share and self.privilege.disclosure == Disclosure.NONE:
            raise ConfigError(
                f"demonstrations.briefed_share={self.demonstrations.briefed_share} needs facts; choose a privilege "
                "other than none."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leap:
    """The algorithm with everything it works on."""

    config: LoopConfig
    environment: Environment
    expert: Policy
    teacher: Teacher
    student: Student
    trainer: Trainer
    panel: Panel
    journal: Journal

    def run(self) -> None:
        """Run all rounds. A stage that the journal already has is read from there, not repeated."""
        student, teacher, trainer = self.student, self.teacher, self.trainer
        rounds: list[Sequence[Correction]] = []
        summaries: list[Mapping[str, object]] = []
        for index in range(self.config.rounds + 1):
            with self.journal.round(index) as journal:
                if index == 0:
                    corrections = self._demonstrate(journal)
                elif self.config.learn_from == LearnFrom.DEMONSTRATIONS:
                    corrections = []
                else:
                    trajectories = self._rollout(student, teacher, journal)
                    corrections = self._correct(student, teacher, trajectories, journal)
                rounds.append(corrections)
                dataset = self._aggregate(rounds, journal)
                student, realizability = self._train(
                    trainer if index else trainer.cloning, student, dataset, corrections, journal
                )
                teacher = teacher.for_student(student, round_index=index)
                trainer = trainer.for_student(student, round_index=index)
                evaluation = evaluate_round(student, self.environment, self.panel, journal, self.config)
                summaries.append({**evaluation, "realizability": realizability})
                self.journal.summarise(summaries)

    def _demonstrate(self, journal: RoundJournal) -> Sequence[Correction]:
        """Return D_0: the expert's demonstrations, or those in a file, as corrections without changes."""
        config = self.config.demonstrations

        def produce(on_progress: ProgressCallback) -> Produced:
            self._require_rollout_tasks()
            if config.source != FROM_EXPERT:
                return _measured("rollout", read_records(Path(config.source)).of(Trajectory), self.expert)
            # The expert repeats itself only for a reason, and half a demonstration would not show it.
            return self._act(self.expert, config.count, journal, on_progress, stop_when_stuck=False)

        demonstrations = journal.records("trajectories", produce).of(Trajectory)
        journal.tracker.log_trajectories("rollout", demonstrations, round_index=journal.index)
        corrections = imitate(demonstrations, into=journal.spool())
        if not corrections:
            raise DataError(
                f"None of the {len(demonstrations)} demonstrations succeeded with admissible actions only, so there is "
                "nothing to clone: use others (demonstrations.source) or allow more steps (env.max_steps_train)."
            )
        corrections = with_briefings(
            corrections,
            self.environment,
            Disclosure(self.config.privilege.disclosure),
            share=config.briefed_share,
            seed=journal.seed_for("demonstrations"),
            into=journal.spool(),
        )
        return journal.records("corrections", lambda _: (corrections, correction_metrics(corrections))).of(Correction)

    def _require_rollout_tasks(self) -> None:
        """Raise DataError if later rounds will need more tasks than there are, before anything is done."""
        if self.config.rounds and self.config.learn_from != LearnFrom.DEMONSTRATIONS:
            split = self.config.env.train_split
            require_tasks(
                self.environment.tasks(split),
                self.config.rollouts.tasks,
                advice=self.environment.more_tasks(split),
                shares=self.environment.shares(split),
            )

    def _rollout(self, student: Policy, teacher: Teacher, journal: RoundJournal) -> Sequence[Trajectory]:
        """π_{i-1} acts on sampled training tasks; the teacher may take some of its steps."""
        config = self.config.rollouts
        mixture = self._mixture(teacher, journal.index)

        def produce(on_progress: ProgressCallback) -> Produced:
            return self._act(
                student,
                config.tasks,
                journal,
                on_progress,
                stop_when_stuck=config.stop_when_stuck,
                per_task=config.per_task,
                mixture=mixture,
            )

        trajectories = journal.records("trajectories", produce).of(Trajectory)
        journal.tracker.log_trajectories("rollout", trajectories, round_index=journal.index)
        return trajectories

    def _mixture(self, teacher: Teacher, round_index: int) -> Mixture | None:
        """Return the teacher's part in the rollouts of a round, or None if it has none."""
        config = self.config.rollouts
        if not config.teacher_share:
            return None
        schedule = Schedule(config.teacher_schedule)
        return Mixture(
            teacher=teacher,
            environment=self.environment,
            disclosure=Disclosure(self.config.privilege.disclosure),
            share=teacher_share(config.teacher_share, schedule, round_index=round_index, rounds=self.config.rounds),
            steps=TeacherSteps(config.teacher_steps),
        )

    def _correct(
        self, student: Student, teacher: Teacher, trajectories: Sequence[Trajectory], journal: RoundJournal
    ) -> Sequence[Correction]:
        """The teacher, briefed with privileged facts, relabels the trajectories with a low score."""
        config = self.config.correct

        def produce(on_progress: ProgressCallback) -> tuple[Sequence[Correction | CorrectionFailure], dict[str, float]]:
            if self.config.learn_from == LearnFrom.SUCCESSES:
                selected = select_trajectories(trajectories, Selection(config.select))
                successes = imitate(selected, into=journal.spool())
                return successes, correction_metrics(successes)
            spool = journal.spool()
            results = correct(
                teacher,
                self.environment,
                student,
                trajectories,
                config=config,
                disclosure=Disclosure(self.config.privilege.disclosure),
                on_progress=on_progress,
                spool=spool,
            )
            if config.recovery_steps:
                for recovery in recover(
                    teacher,
                    self.environment,
                    [result for result in results if isinstance(result, Correction)],
                    steps=config.recovery_steps,
                    max_steps=self.config.env.step_limits.train,
                    batch=self.config.batch,
                    seed=journal.seed_for("recover"),
                    on_progress=on_progress,
                ):
                    spool.append(recovery)
            return results, {**correction_metrics(results), **_usage("correct", teacher)}

        corrections = journal.records("corrections", produce).of(Correction)
        journal.tracker.log_corrections(corrections, round_index=journal.index)
        return corrections

    def _aggregate(self, rounds: Sequence[Sequence[Correction]], journal: RoundJournal) -> Sequence[Correction]:
        """Return D_i, selected from the corrections of all rounds so far."""

        def produce(_: ProgressCallback) -> tuple[list[Example], dict[str, float]]:
            how = Aggregation(self.config.aggregate)
            examples = aggregate(rounds, how, seed=journal.seed_for("aggregate"))
            return examples, aggregation_metrics(select(rounds, examples))

        return select(rounds, journal.records("examples", produce).of(Example))

    def _train(
        self,
        trainer: Trainer,
        student: Student,
        dataset: Sequence[Correction],
        corrections: Sequence[Correction],
        journal: RoundJournal,
    ) -> tuple[Student, Mapping[str, float | None]]:
        """Return π_i, and how likely π_{i-1} and π_i find the teacher's actions in this round's corrections."""
        config, index = self.config, journal.index
        start = self.student if config.start_from == "base" else student
        share = config.trainer.validation_share
        probes = draw_probes(*split(corrections, share), size=config.probes, seed=journal.seed_for("probe"))
        before = journal.document(
            "logprobs_before", lambda on_progress: probe(student, probes, on_progress=on_progress)
        )
        folder = journal.folder(
            "student",
            lambda out, on_progress: trainer.fit(
                start, *split(dataset, share), out=out, seed=journal.seed_for("train"), on_progress=on_progress
            ),
        )
        # Always loaded from the files, so that a resumed run continues with exactly the same student.
        trained = self.student.load(folder, policy_id=f"{self.student.id}/round_{index}")
        after = journal.document("logprobs_after", lambda on_progress: probe(trained, probes, on_progress=on_progress))
        realizability = probe_metrics(corrections, probes, before, after)
        journal.log(realizability)
        if config.measures:
            seed = journal.seed_for("measure")
            subject = Subject.of(self.environment, before=student, after=trained, probes=probes, seed=seed)
            measured = journal.document("measures", partial(measure_round, subject, config.measures))
            journal.log(measured_metrics(measured))
        journal.tracker.log_student(folder, round_index=index)
        return trained, encode_metrics(realizability)

    def _act(
        self,
        policy: Policy,
        count: int,
        journal: RoundJournal,
        on_progress: ProgressCallback,
        *,
        stop_when_stuck: bool,
        per_task: int = 1,
        mixture: Mixture | None = None,
    ) -> Produced:
        """Run ``policy``, mixed with a teacher if there is one, on ``count`` tasks, ``per_task`` times on each."""
        env = self.config.env
        seed = journal.seed_for("rollout")
        tasks = sample_tasks(
            self.environment.tasks(env.train_split),
            count,
            seed=derive_seed(seed, "tasks"),
            advice=self.environment.more_tasks(env.train_split),
            shares=self.environment.shares(env.train_split),
        )
        trajectories = rollout(
            self.environment,
            policy,
            tasks,
            seed=seed,
            max_steps=env.step_limits.train,
            batch=self.config.batch,
            on_progress=on_progress,
            stop_when_stuck=stop_when_stuck,
            per_task=per_task,
            mixture=mixture,
            spool=journal.spool(),
        )
        return _measured("rollout", trajectories, policy, *([mixture.teacher] if mixture else []))


def evaluate_round(
    policy: Policy, environment: Environment, panel: Panel, journal: RoundJournal, config: LoopConfig
) -> dict[str, object]:
    """Evaluate ``policy`` on the panel as a stage of a round; return the round's entry for the summary."""
    protocol = config.evaluation.conditions

    def produce(on_progress: ProgressCallback) -> Produced:
        trajectories = evaluate(
            policy,
            environment,
            panel,
            max_steps=protocol.step_limit(environment) if protocol else config.env.step_limits.evaluate,
            batch=config.batch,
            on_progress=on_progress,
            spool=journal.spool(),
            samples=config.evaluation.samples,
            window=protocol.window if protocol else None,
        )
        return _measured("evaluate", trajectories, policy)

    trajectories = journal.records("evaluation", produce).of(Trajectory)
    journal.tracker.log_trajectories("evaluate", trajectories, round_index=journal.index)
    entry = {"round": journal.index, "split": panel.split, "panel_hash": panel.hash}
    return {**entry, **summary_entry(assess(trajectories))}


def _measured(stage: str, trajectories: Sequence[Trajectory], *actors: Teacher | Policy) -> Produced:
    """Return trajectories with their results, and what those who acted used, as metrics of ``stage``."""
    results = {**assessment_metrics(stage, assess(trajectories)), **teacher_metrics(stage, trajectories)}
    return trajectories, {**results, **_usage(stage, *actors)}


def _usage(stage: str, *parts: Teacher | Policy) -> dict[str, float]:
    """Return what ``parts`` used since the last call, as metrics of ``stage``."""
    used: dict[str, float] = {}
    for part in parts:
        for name, value in part.usage().items():
            used[f"llm/{stage}/{name}"] = used.get(f"llm/{stage}/{name}", 0) + value
    return used
