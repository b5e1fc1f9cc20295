"""A toy world for tests of the loop: a prize behind one of some doors, a hint, a student that learns by rote.

The hint names the door's colour. The student starts by opening doors in order; training teaches it colour -> door.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from leap_exp.core.components import EnvironmentConfig, TrainerConfig
from leap_exp.core.environments import Environment, Oracle
from leap_exp.core.privilege import Disclosure
from leap_exp.core.protocols import ProgressCallback, Student, Teacher, Trainer
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import (
    Briefing,
    Correction,
    Decision,
    EnvironmentPrompts,
    Observation,
    PrivilegedFacts,
    Task,
    Trajectory,
    Transition,
    View,
    views,
)
from leap_exp.loop import DemonstrationsConfig, Leap, LoopConfig
from leap_exp.runs import Journal
from leap_exp.stages.correct import CorrectConfig, PrivilegeConfig
from leap_exp.stages.evaluate import draw_panel
from leap_exp.stages.rollout import RolloutsConfig
from leap_exp.tracking.jsonl import JsonlTracker

COLOURS = ("red", "green", "blue", "grey")
DOORS = tuple(f"open door {number}" for number in range(1, 9))


def prize_door(colour: str) -> str:
    """The door that hides the prize."""
    return DOORS[4 + COLOURS.index(colour)]


class ToyEpisode:
    def __init__(self, colour: str) -> None:
        self._prize = prize_door(colour)
        self._won = False
        self.observation = Observation(text=f"A {colour} mark is on the wall.", admissible_actions=DOORS)

    def step(self, action: str) -> Transition:
        self._won = action == self._prize
        text = "You found the prize." if self._won else f"Nothing happens after {action}."
        self.observation = Observation(text=text, admissible_actions=DOORS)
        return Transition(observation=self.observation, reward=float(self._won), done=self._won)

    def score(self) -> float:
        return float(self._won)


class ToyOracle(Oracle):
    """Opens the door for the colour of the task, or for ``believed``."""

    def __init__(self, believed: str = "") -> None:
        self._believed = believed

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        colour = self._believed or view.task.kind
        return Decision(reason=f"The mark is {colour} ({disclosure}).", action=prize_door(colour))


class ToyEnvironment(Environment):
    name = "toy"
    prompts = EnvironmentPrompts(student="Open the right door.")

    def __init__(self) -> None:
        self.max_repeats = 0

    def tasks(self, split: str) -> Sequence[Task]:
        return [
            Task(id=f"toy/{split}/{i:02d}", split=split, instruction=f"Find prize {i}.", kind=COLOURS[i % 4])
            for i in range(24)
        ]

    @contextlib.contextmanager
    def open(self, task: Task, *, seed: int) -> Iterator[ToyEpisode]:
        yield ToyEpisode(task.kind)

    def privileged(self, task: Task) -> PrivilegedFacts:
        return PrivilegedFacts(task_id=task.id, text=f"Behind {prize_door(task.kind)}.", data={"hidden_names": []})

    def oracle(self, task: Task) -> ToyOracle:
        return ToyOracle()

    def oracle_with_facts_of(self, task: Task, other: Task) -> ToyOracle:
        return ToyOracle(other.kind)


class ToyStudent(Student):
    """Knows some colours; opens doors in order where it does not."""

    def __init__(self, known: Mapping[str, str], *, policy_id: str = "toy") -> None:
        self.id = policy_id
        self.known = dict(known)

    def act(self, batch: Sequence[View], *, seed: int) -> Sequence[Decision]:
        return [
            Decision(reason="", action=self.known.get(view.task.kind, DOORS[len(view.history) % 3])) for view in batch
        ]

    def logprobs(self, corrections: Sequence[Correction]) -> Sequence[float]:
        return [
            -0.25 if self.act([view], seed=0)[0].action == decision.action else -3.5
            for correction in corrections
            for view, decision in zip(views(correction.trajectory), correction.decisions, strict=True)
        ]

    def load(self, folder: Path, *, policy_id: str) -> "ToyStudent":
        return ToyStudent(json.loads((folder / "known.json").read_text()), policy_id=policy_id)


class ToyTeacher(Teacher):
    id = "toy_oracle"

    def __init__(self, environment: ToyEnvironment) -> None:
        self._environment = environment

    def correct(self, trajectories: Sequence[Trajectory], briefings: Sequence[Briefing]) -> Sequence[Correction]:
        corrections = []
        for trajectory, briefing in zip(trajectories, briefings, strict=True):
            oracle = self._environment.oracle(trajectory.task)
            decisions = tuple(oracle.decide(view, briefing.disclosure, seed=0) for view in views(trajectory))
            changed = tuple(d.action != s.decision.action for d, s in zip(decisions, trajectory.steps, strict=True))
            corrections.append(
                Correction(
                    trajectory=trajectory, decisions=decisions, changed=changed, teacher_id=self.id, briefing=briefing
                )
            )
        return corrections


class ToyTrainer(Trainer):
    """Learns one more colour per round: the first in its data, by the seed, that the student does not know."""

    def fit(
        self,
        student: ToyStudent,
        train: Sequence[Correction],
        validation: Sequence[Correction],
        *,
        out: Path,
        seed: int,
        on_progress: ProgressCallback,
    ) -> Mapping[str, float]:
        lessons = {c.trajectory.task.kind: c.decisions[0].action for c in (*train, *validation)}
        new = sorted(set(lessons) - set(student.known), key=lambda kind: derive_seed(seed, kind))[:1]
        known = {**student.known, **{kind: lessons[kind] for kind in new}}
        (out / "known.json").write_text(json.dumps(known))
        on_progress(1, 1)
        return {"train/loss": 1.0 / (1 + len(known)), "train/fit_seconds": 0.1}


class SilentProgress:
    @contextlib.contextmanager
    def stage(self, name: str, *, round_index: int) -> Iterator[ProgressCallback]:
        yield lambda done, total: None


CONFIG = LoopConfig(
    env=EnvironmentConfig(max_steps_train=4, max_steps_eval=5),
    privilege=PrivilegeConfig(disclosure="p50"),
    trainer=TrainerConfig(),
    seed=0,
    rounds=3,
    demonstrations=DemonstrationsConfig(count=8),
    rollouts=RolloutsConfig(tasks=12),
    correct=CorrectConfig(max_score=0.0),
    batch=5,
    probes=4,
)


def toy_leap(
    run_dir: Path, *, tracker: object = None, progress: object = None, round_0_seed: int | None = None, **config: object
) -> Leap:
    """Return the toy experiment in ``run_dir``."""
    environment = ToyEnvironment()
    run_dir.mkdir(parents=True, exist_ok=True)
    config = replace(CONFIG, **config)
    return Leap(
        config=config,
        environment=environment,
        expert=ToyStudent({colour: prize_door(colour) for colour in COLOURS}, policy_id="expert"),
        teacher=ToyTeacher(environment),
        student=ToyStudent({}),
        trainer=ToyTrainer(),
        panel=draw_panel(environment.tasks("valid_unseen"), split="valid_unseen", size=12, seed=0),
        journal=Journal(
            run_dir,
            tracker=tracker or JsonlTracker(run_dir),
            progress=progress or SilentProgress(),
            seed=config.seed,
            round_0_seed=config.seed if round_0_seed is None else round_0_seed,
        ),
    )
