"""Evaluate: run a policy on a fixed panel of held-out tasks, without any privileged facts."""

import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from statistics import fmean
from typing import ClassVar

from leap_exp.analysis.statistics import pass_all_k, pass_at_k, wilson_interval
from leap_exp.core.environments import Environment
from leap_exp.core.errors import DataError
from leap_exp.core.limits import StepLimit
from leap_exp.core.protocols import Policy, ProgressCallback
from leap_exp.core.seeding import derive_seed
from leap_exp.core.settings import Settings, setting
from leap_exp.core.types import Task, Trajectory
from leap_exp.runs import RecordSpool
from leap_exp.stages.protocol import PROTOCOLS, Protocol, Windowed
from leap_exp.stages.rollout import rollout


@dataclass
class EvaluationConfig(Settings):
    """The panel on which every round is evaluated."""

    place: ClassVar[str] = "evaluation"

    panel: str | None = setting(
        None,
        "A panel by name (leap data panels) or the file of one, instead of split and tasks; panel_seed is then the "
        "seed of its episodes.",
    )
    protocol: str | None = setting(
        None,
        "Conditions of another project (docs/protocols.md): steps, history, list of actions, wording, form of answers; "
        "null for the settings as they are.",
        choices=tuple(PROTOCOLS),
    )
    split: str = setting("valid_unseen", "Split that the panel is drawn from.")
    tasks: int | None = setting(
        None,
        "Number of tasks in the panel, or in that of each joined environment; null for the whole split.",
        minimum=1,
    )
    panel_seed: int = setting(0, "Seed of the panel; the run's seed does not change it.")
    samples: int | None = setting(
        None, "Episodes per task in which the student samples; null for one in which it does not.", minimum=1
    )

    @property
    def conditions(self) -> Protocol | None:
        """The conditions of ``protocol``, or None if the settings stay as they are."""
        return None if self.protocol is None else PROTOCOLS[self.protocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A fixed, ordered list of evaluation tasks of one split, and the seed of their episodes.

    Attributes:
        name: The name of the file that it is from (``leap_exp.stages.panels``); empty if it was drawn.
        contents_sha256: The hash in that file.
    """

    split: str
    seed: int
    tasks: tuple[Task, ...]
    name: str = ""
    contents_sha256: str = ""

    @property
    def hash(self) -> str:
        """SHA-256 over ids and instructions in order; equal hashes mean equal panels."""
        listing = json.dumps([[task.id, task.instruction] for task in self.tasks])
        return hashlib.sha256(listing.encode()).hexdigest()


def draw_panel(tasks: Sequence[Task], *, split: str, size: int | None, seed: int, advice: str = "") -> Panel:
    """Return a panel of ``size`` tasks, balanced over task kinds as far as possible; None takes all.

    If several environments are joined, it has ``size`` tasks of each: the panel that each has alone. ``advice`` says in
    an error message how to get more tasks.

    Raises:
        DataError: There are no tasks, or fewer than ``size``.
    """
    if not tasks or size == 0:
        raise DataError(
            f"The evaluation panel is empty: split {split!r} has {len(tasks)} tasks, evaluation.tasks={size}."
        )
    if size is None:
        return Panel(split=split, seed=seed, tasks=tuple(tasks))
    by_environment: dict[str, list[Task]] = {}
    for task in tasks:
        by_environment.setdefault(task.environment, []).append(task)
    for name, each in by_environment.items():
        if size > len(each):
            of = f" of {name}" if name else ""
            raise DataError(
                f"evaluation.tasks={size}, but split {split!r} has only {len(each)} tasks{of}: lower the number"
                f"{f', or {advice}' if advice else ''}."
            )
    drawn = [task for each in by_environment.values() for task in _draw_balanced(each, size, seed)]
    return Panel(split=split, seed=seed, tasks=tuple(drawn))


def _draw_balanced(tasks: Sequence[Task], size: int, seed: int) -> list[Task]:
    """Return ``size`` of ``tasks``, with as many of each kind as possible."""
    by_kind: dict[str, list[Task]] = {}
    for task in tasks:
        by_kind.setdefault(task.kind, []).append(task)
    for kind, members in by_kind.items():
        random.Random(derive_seed(seed, "panel", kind)).shuffle(members)
    turns = zip_longest(*(by_kind[kind] for kind in sorted(by_kind)))
    return [task for turn in turns for task in turn if task is not None][:size]


def evaluate(
    policy: Policy,
    environment: Environment,
    panel: Panel,
    *,
    max_steps: StepLimit,
    batch: int,
    on_progress: ProgressCallback,
    samples: int | None = None,
    window: int | None = None,
    spool: RecordSpool[Trajectory] | None = None,
) -> Sequence[Trajectory]:
    """Run ``policy`` on each task of ``panel``, in every round and run with the same episode seeds.

    It runs once and makes its likeliest decisions or, with ``samples``, that often and as it is. With ``window`` it
    sees only so many of the latest steps.
    """
    acting = policy.greedy if samples is None else policy
    return rollout(
        environment,
        acting if window is None else Windowed(acting, window),
        panel.tasks,
        seed=panel.seed,
        max_steps=max_steps,
        batch=batch,
        on_progress=on_progress,
        spool=spool,
        per_task=samples or 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KindResult:
    """Success in the scored episodes of one kind of task.

    With several episodes of a task, the interval is Wilson's for as many episodes as there are tasks. It is wide
    enough, because the mean of several episodes of a task varies no more than one episode.
    """

    n: int
    success_rate: float
    success_ci95: tuple[float, float]


_AVERAGED = ("success_rate", "score_mean", "steps_mean", "invalid_action_rate")
"""Results that are averaged over environments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Results on a panel. Rates and means are over the ``n`` scored episodes; crashed episodes are ``unscored``.

    ``cut_off_answers`` counts the steps of all episodes whose answer was cut off before its action was complete.
    ``samples`` is the number of episodes per task. If there are several, ``pass_at`` has the probability that at least
    one of k episodes of a task succeeds, and ``pass_all`` that all do, by k: powers of 2, and the number of samples.
    ``per_environment`` has the results of each environment, if several are joined.
    """

    n: int
    unscored: int
    success_rate: float
    success_ci95: tuple[float, float]
    score_mean: float
    steps_mean: float
    invalid_action_rate: float
    per_task_type: Mapping[str, KindResult]
    cut_off_answers: int = 0
    samples: int = 1
    pass_at: Mapping[str, float] = field(default_factory=dict)
    pass_all: Mapping[str, float] = field(default_factory=dict)
    per_environment: Mapping[str, "Evaluation"] = field(default_factory=dict)

    @property
    def means(self) -> Mapping[str, float]:
        """The means over the environments, each of the same weight; empty for a single one."""
        each = list(self.per_environment.values())
        return {name: fmean(getattr(one, name) for one in each) for name in _AVERAGED} if each else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Episode:
    """What the results need to know of a trajectory."""

    task_id: str
    sample: int
    environment: str
    kind: str
    score: float | None
    succeeded: bool
    is_valid: tuple[bool, ...]
    cut_off_answers: int

    @classmethod
    def of(cls, trajectory: Trajectory) -> "_Episode":
        return cls(
            task_id=trajectory.task.id,
            sample=trajectory.sample,
            environment=trajectory.task.environment,
            kind=trajectory.task.kind,
            score=trajectory.score,
            succeeded=trajectory.succeeded,
            is_valid=tuple(step.is_valid for step in trajectory.steps),
            cut_off_answers=sum(step.decision.is_cut_off for step in trajectory.steps),
        )


def assess(trajectories: Iterable[Trajectory]) -> Evaluation:
    """Return the results of ``trajectories``, read once; the invalid-action rate is over all their steps."""
    return _assess([_Episode.of(trajectory) for trajectory in trajectories])


def _assess(episodes: Sequence[_Episode]) -> Evaluation:
    environments = dict.fromkeys(episode.environment for episode in episodes if episode.environment)
    if environments:
        alone = [replace(episode, environment="") for episode in episodes]
        named = {
            name: [one for one, episode in zip(alone, episodes, strict=True) if episode.environment == name]
            for name in environments
        }
        every = _assess([replace(one, kind=f"{name}/{one.kind}") for name, each in named.items() for one in each])
        return replace(every, per_environment={name: _assess(each) for name, each in named.items()})
    scored = [episode for episode in episodes if episode.score is not None]
    kinds = sorted({episode.kind for episode in scored})
    overall = _success(scored)
    samples = 1 + max((episode.sample for episode in episodes), default=0)
    return Evaluation(
        n=overall.n,
        unscored=len(episodes) - overall.n,
        success_rate=overall.success_rate,
        success_ci95=overall.success_ci95,
        score_mean=_mean([episode.score or 0.0 for episode in scored]),
        steps_mean=_mean([len(episode.is_valid) for episode in scored]),
        invalid_action_rate=_mean([not is_valid for episode in scored for is_valid in episode.is_valid]),
        per_task_type={kind: _success([each for each in scored if each.kind == kind]) for kind in kinds},
        cut_off_answers=sum(episode.cut_off_answers for episode in episodes),
        samples=samples,
        pass_at=_by_k(scored, samples, pass_at_k),
        pass_all=_by_k(scored, samples, pass_all_k),
    )


def summary_entry(evaluation: Evaluation) -> dict[str, object]:
    """Return an evaluation as part of a round's entry in summary.json."""
    entry = asdict(evaluation)
    del entry["per_environment"]
    if evaluation.per_environment:
        members = {name: summary_entry(each) for name, each in evaluation.per_environment.items()}
        entry |= {"per_environment": members, "environment_means": dict(evaluation.means)}
    if not evaluation.cut_off_answers:
        del entry["cut_off_answers"]
    if evaluation.samples == 1:
        for name in ("samples", "pass_at", "pass_all"):
            del entry[name]
    return entry


def assessment_metrics(stage: str, evaluation: Evaluation) -> dict[str, float]:
    """Return an evaluation as metrics named ``STAGE/...``.

    There is a count of cut-off answers if there are any, and rates by k if there are several episodes per task. If
    environments are joined, there is each metric for every environment too (``STAGE/success_rate/NAME``), and some for
    their mean (``STAGE/success_rate/mean``).
    """
    low, high = evaluation.success_ci95
    cut_off = {f"{stage}/cut_off_answers_count": evaluation.cut_off_answers} if evaluation.cut_off_answers else {}
    return {
        f"{stage}/n_count": evaluation.n,
        f"{stage}/unscored_count": evaluation.unscored,
        f"{stage}/success_rate": evaluation.success_rate,
        f"{stage}/success_ci95_low": low,
        f"{stage}/success_ci95_high": high,
        f"{stage}/score_mean": evaluation.score_mean,
        f"{stage}/steps_mean": evaluation.steps_mean,
        f"{stage}/invalid_action_rate": evaluation.invalid_action_rate,
        **cut_off,
        **{f"{stage}/pass_at_{k}_rate": rate for k, rate in evaluation.pass_at.items()},
        **{f"{stage}/pass_all_{k}_rate": rate for k, rate in evaluation.pass_all.items()},
        **{f"{stage}/success_rate/{kind}": result.success_rate for kind, result in evaluation.per_task_type.items()},
        **_environment_metrics(stage, evaluation),
    }


def _environment_metrics(stage: str, evaluation: Evaluation) -> dict[str, float]:
    """Return the metrics of each environment and the means; those of task kinds are the whole evaluation's."""
    return {
        **{
            f"{name}/{environment}": value
            for environment, each in evaluation.per_environment.items()
            for name, value in assessment_metrics(stage, replace(each, per_task_type={})).items()
        },
        **{f"{stage}/{name}/mean": value for name, value in evaluation.means.items()},
    }


def _success(scored: Sequence[_Episode]) -> KindResult:
    rate = _mean([episode.succeeded for episode in scored])
    tasks = len({episode.task_id for episode in scored}) if any(each.sample for each in scored) else len(scored)
    successes = rate * tasks if tasks < len(scored) else sum(episode.succeeded for episode in scored)
    return KindResult(n=len(scored), success_rate=rate, success_ci95=wilson_interval(successes, tasks))


def _by_k(scored: Sequence[_Episode], samples: int, rate: Callable[[int, int, int], float]) -> dict[str, float]:
    """Return the mean of ``rate(episodes, successes, k)`` over the tasks with at least k scored episodes, by k."""
    if samples == 1:
        return {}
    by_task: dict[str, list[bool]] = {}
    for episode in scored:
        by_task.setdefault(episode.task_id, []).append(episode.succeeded)
    ks = sorted({*(2**power for power in range(1, samples.bit_length()) if 2**power <= samples), samples})
    rates = {k: [rate(len(each), sum(each), k) for each in by_task.values() if len(each) >= k] for k in ks}
    return {str(k): fmean(values) for k, values in rates.items() if values}


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
