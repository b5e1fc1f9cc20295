"""A student of several environments beside students of one each, on the same panels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from leap_exp.analysis.run import Run
from leap_exp.analysis.statistics import Comparison, compare, pair_by_task
from leap_exp.analysis.sweep import Group, Sweep

Scores = Mapping[str, tuple[float, float]]
"""Success rate and mean score of each scored task of a panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnEnvironment:
    """Results of the last rounds on the panel of one environment, means over seeds.

    Attributes:
        joint: The group whose student learns several environments.
        single: The group whose student learns this one alone.
        environment: Its name.
        success: Success of the joint student and of the single one.
        score: Their mean scores.
        versus: Success of the joint student against the single one, paired by task over the seeds that both have.
    """

    joint: str
    single: str
    environment: str
    success: tuple[float, float]
    score: tuple[float, float]
    versus: Comparison


def compare_environments(sweep: Sweep) -> list[OnEnvironment]:
    """Return the comparisons of each joint group of ``sweep`` with the single ones, on the tasks of both panels."""
    singles = [group for group in sweep.groups if not _is_joint(group)]
    return [
        found
        for joint in sweep.groups
        if _is_joint(joint)
        for name in joint.runs[0].rounds[-1]["per_environment"]
        for single in singles
        if (found := _compare(joint, single, str(name))) is not None
    ]


def _is_joint(group: Group) -> bool:
    return "per_environment" in group.runs[0].rounds[-1]


def _compare(joint: Group, single: Group, environment: str) -> OnEnvironment | None:
    """Return the comparison on ``environment``; None if ``single`` is about another one or has no task in common."""
    if single.runs[0].config.get("env.name") != environment:
        return None
    ours = {run.seed: _scores(run, len(joint.rounds) - 1, environment) for run in joint.runs}
    theirs = {run.seed: _scores(run, len(single.rounds) - 1, "") for run in single.runs}
    seeds = sorted(ours.keys() & theirs.keys())
    success, score = (
        [[{task: both[place] for task, both in each[seed].items()} for seed in seeds] for each in (ours, theirs)]
        for place in (0, 1)
    )
    versus = compare(*success)
    if versus is None:
        return None
    our_score, their_score = pair_by_task(*score)
    return OnEnvironment(
        joint=joint.label,
        single=single.label,
        environment=environment,
        success=(versus.after, versus.before),
        score=(fmean(our_score), fmean(their_score)),
        versus=versus,
    )


def _scores(run: Run, place: int, environment: str) -> Scores:
    """Return the results on the tasks of ``environment`` in one round of ``run``; a single one's are unnamed."""
    by_task: dict[str, list[tuple[float, float]]] = {}
    for trajectory in run.evaluation(run.rounds[place]["round"]):
        if trajectory.score is not None and trajectory.task.environment == environment:
            by_task.setdefault(trajectory.task.id, []).append((float(trajectory.succeeded), trajectory.score))
    return {task: (fmean(s for s, _ in each), fmean(s for _, s in each)) for task, each in by_task.items()}


def environments_results(found: Sequence[OnEnvironment]) -> list[dict[str, object]]:
    """Return the comparisons as JSON data."""
    return [{**asdict(each), "versus": {"difference": each.versus.difference, **asdict(each.versus)}} for each in found]


def environments_markdown(found: Sequence[OnEnvironment]) -> list[str]:
    """Return the lines of a Markdown table of the comparisons, for the README of an experiment."""
    lines = [
        "| student | environment | tasks | success | alone | difference (points), p of a gain | score | alone |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in found:
        versus, (success, alone) = each.versus, (f"{100 * value:.1f} %" for value in each.success)
        interval = f"({100 * versus.low:+.0f} to {100 * versus.high:+.0f})"
        difference = f"{100 * versus.difference:+.1f} {interval}, p = {versus.p:.4f}"
        scores = " | ".join(f"{value:.3f}" for value in each.score)
        lines.append(
            f"| {each.joint} | {each.environment} | {versus.tasks} | {success} | {alone} | {difference} | {scores} |"
        )
    for joint in dict.fromkeys(each.joint for each in found):
        mine = [each for each in found if each.joint == joint]
        success, alone = (f"{100 * fmean(each.success[place] for each in mine):.1f} %" for place in (0, 1))
        scores = " | ".join(f"{fmean(each.score[place] for each in mine):.3f}" for place in (0, 1))
        mean = f"{100 * fmean(each.versus.difference for each in mine):+.1f}"
        lines.append(f"| {joint} | mean | | {success} | {alone} | {mean} | {scores} |")
    return lines
