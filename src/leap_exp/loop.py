"""LEAP (Choudhury & Sodhi 2025): a student learns, round by round, from a teacher that knows what it cannot see.

D_0   demonstrations; π_0 = fine-tune(base, D_0)                  (behaviour cloning)
for i = 1..N:
rollout    π_{i-1} acts alone on sampled training tasks
correct    the privileged teacher relabels trajectories that scored too little
aggregate  D_i = D_{i-1} + corrections                         (DAgger)
train      π_i = fine-tune(π_{i-1}, D_i)
evaluate   π_i on a fixed panel, without any privileged state
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from leap_exp.aggregate import Aggregation, aggregate, aggregation_metrics, select
from leap_exp.core.errors import DataError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import (
    Environment,
    FollowingTeacher,
    Metered,
    Policy,
    ProgressCallback,
    Student,
    Teacher,
    Trainer,
)
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Correction, CorrectionFailure, Example, Trajectory
from leap_exp.correct import correct, correction_metrics, imitate
from leap_exp.evaluate import Panel, assess, assessment_metrics
from leap_exp.probe import draw_probes, probe, probe_metrics
from leap_exp.rollout import rollout, sample_tasks
from leap_exp.store import Journal, RoundJournal, encode_metrics, read_records

Produced = tuple[list[Trajectory], dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The numbers of a run; leap_exp.config documents them one by one."""

    rounds: int
    seed: int
    round_0_seed: int
    train_split: str
    demonstrations: int | Path
    rollouts: int
    stop_when_stuck: bool
    disclosure: Disclosure
    max_score: float
    aggregation: Aggregation
    start_from_base: bool
    probes: int
    max_steps_train: int
    max_steps_eval: int
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leap:
    """The algorithm with all that it works on."""

    environment: Environment
    expert: Policy
    teacher: Teacher
    student: Student
    trainer: Trainer
    panel: Panel
    plan: Plan
    journal: Journal

    def run(self) -> None:
        """All rounds. A stage that the journal has already is read from there, not done again."""
        student = self.student
        rounds: list[list[Correction]] = []
        summaries: list[Mapping[str, object]] = []
        for index in range(self.plan.rounds + 1):
            with self.journal.round(index) as journal:
                if index == 0:
                    corrections = self._demonstrate(journal)
                else:
                    trajectories = self._rollout(student, journal)
                    corrections = self._correct(trajectories, journal)
                rounds.append(corrections)
                dataset = self._aggregate(rounds, journal)
                student, realizability = self._train(student, dataset, corrections, journal)
                if isinstance(self.teacher, FollowingTeacher):
                    self.teacher.follow(student, round_index=index)
                evaluation = self._evaluate(student, journal)
                summaries.append({**evaluation, "realizability": realizability})
                self.journal.summarise(summaries)

    def _demonstrate(self, journal: RoundJournal) -> list[Correction]:
        """D_0: what the expert does from the history alone, or a file of trajectories, each step its own correction."""
        source = self.plan.demonstrations

        def produce(on_progress: ProgressCallback) -> Produced:
            if isinstance(source, Path):
                return measured("rollout", read_records(source).of(Trajectory), self.expert)
            # An expert that repeats itself has its reasons; half a demonstration would teach none of them.
            return self._act(self.expert, source, journal.index, on_progress, stop_when_stuck=False)

        demonstrations = journal.records("trajectories", produce).of(Trajectory)
        journal.tracker.log_trajectories("rollout", demonstrations, round_index=journal.index)
        corrections = imitate(demonstrations)
        if not corrections:
            raise DataError(
                f"None of the {len(demonstrations)} demonstrations succeeded by admissible actions alone, so there is "
                "nothing to clone: give others (demonstrations.source) or more steps (env.max_steps_train)."
            )
        return journal.records("corrections", lambda _: (corrections, correction_metrics(corrections))).of(Correction)

    def _rollout(self, student: Policy, journal: RoundJournal) -> list[Trajectory]:
        """π_{i-1} acts alone on sampled training tasks."""
        trajectories = journal.records(
            "trajectories",
            lambda on_progress: self._act(
                student, self.plan.rollouts, journal.index, on_progress, stop_when_stuck=self.plan.stop_when_stuck
            ),
        ).of(Trajectory)
        journal.tracker.log_trajectories("rollout", trajectories, round_index=journal.index)
        return trajectories

    def _correct(self, trajectories: Sequence[Trajectory], journal: RoundJournal) -> list[Correction]:
        """The teacher, briefed with privileged facts, relabels the trajectories that scored too little."""

        def produce(on_progress: ProgressCallback) -> tuple[list[Correction | CorrectionFailure], dict[str, float]]:
            results = correct(
                self.teacher,
                self.environment,
                trajectories,
                disclosure=self.plan.disclosure,
                max_score=self.plan.max_score,
                on_progress=on_progress,
            )
            return results, {**correction_metrics(results), **used("correct", self.teacher)}

        corrections = journal.records("corrections", produce).of(Correction)
        journal.tracker.log_corrections(corrections, round_index=journal.index)
        return corrections

    def _aggregate(self, rounds: Sequence[Sequence[Correction]], journal: RoundJournal) -> list[Correction]:
        """D_i, from the corrections of all rounds so far."""

        def produce(_: ProgressCallback) -> tuple[list[Example], dict[str, float]]:
            examples = aggregate(rounds, self.plan.aggregation, seed=self._seed(journal.index, "aggregate"))
            return examples, aggregation_metrics(select(rounds, examples))

        return select(rounds, journal.records("examples", produce).of(Example))

    def _train(
        self, student: Student, dataset: Sequence[Correction], corrections: Sequence[Correction], journal: RoundJournal
    ) -> tuple[Student, Mapping[str, float | None]]:
        """π_i, and how likely π_{i-1} and π_i find what the teacher does in this round's corrections."""
        index = journal.index
        start = self.student if self.plan.start_from_base else student
        probes = draw_probes(
            corrections, self.trainer.holds_out, size=self.plan.probes, seed=self._seed(index, "probe")
        )
        before = journal.document(
            "logprobs_before", lambda on_progress: probe(student, probes, on_progress=on_progress)
        )
        folder = journal.folder(
            "student",
            lambda out, on_progress: self.trainer.fit(
                start, dataset, out=out, seed=self._seed(index, "train"), on_progress=on_progress
            ),
        )
        # Always from the files, so that a resumed run goes on with the very student that an uninterrupted one has.
        trained = self.student.load(folder, policy_id=f"{self.student.id}/round_{index}")
        after = journal.document("logprobs_after", lambda on_progress: probe(trained, probes, on_progress=on_progress))
        realizability = probe_metrics(corrections, probes, before, after)
        journal.log(realizability)
        journal.tracker.log_student(folder, round_index=index)
        return trained, encode_metrics(realizability)

    def _evaluate(self, student: Student, journal: RoundJournal) -> dict[str, object]:
        """π_i on the panel."""
        plan = self.plan
        return evaluate_policy(
            student, self.environment, self.panel, journal, max_steps=plan.max_steps_eval, batch=plan.batch
        )

    def _act(
        self, policy: Policy, count: int, index: int, on_progress: ProgressCallback, *, stop_when_stuck: bool
    ) -> Produced:
        seed = self._seed(index, "rollout")
        tasks = sample_tasks(self.environment.tasks(self.plan.train_split), count, seed=derive_seed(seed, "tasks"))
        trajectories = rollout(
            self.environment,
            policy,
            tasks,
            seed=seed,
            max_steps=self.plan.max_steps_train,
            batch=self.plan.batch,
            on_progress=on_progress,
            stop_when_stuck=stop_when_stuck,
        )
        return measured("rollout", trajectories, policy)

    def _seed(self, index: int, stage: str) -> int:
        return derive_seed(self.plan.round_0_seed if index == 0 else self.plan.seed, "round", index, stage)


def evaluate_policy(
    policy: Policy, environment: Environment, panel: Panel, journal: RoundJournal, *, max_steps: int, batch: int
) -> dict[str, object]:
    """Run ``policy`` on the panel, without any privileged state; returns the round's entry for the summary."""

    def produce(on_progress: ProgressCallback) -> Produced:
        trajectories = rollout(
            environment,
            policy,
            panel.tasks,
            # The panel's own: every round, run and seed meets the same episodes.
            seed=panel.seed,
            max_steps=max_steps,
            batch=batch,
            on_progress=on_progress,
        )
        return measured("evaluate", trajectories, policy)

    trajectories = journal.records("evaluation", produce).of(Trajectory)
    journal.tracker.log_trajectories("evaluate", trajectories, round_index=journal.index)
    entry = {"round": journal.index, "split": panel.split, "panel_hash": panel.hash}
    return {**entry, **asdict(assess(trajectories))}


def measured(stage: str, trajectories: list[Trajectory], policy: Policy) -> Produced:
    """Trajectories with how they went, and what ``policy`` used for them, as metrics of ``stage``."""
    return trajectories, {**assessment_metrics(stage, assess(trajectories)), **used(stage, policy)}


def used(stage: str, who: Teacher | Policy) -> dict[str, float]:
    """What ``who`` used since it was last asked, as metrics of ``stage``; nothing for one that is not metered."""
    return {f"llm/{stage}/{name}": value for name, value in who.account().items()} if isinstance(who, Metered) else {}
