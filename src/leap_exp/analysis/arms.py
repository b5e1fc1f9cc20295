"""The arms of an experiment side by side: what each gains, over which control, for how many labels and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from leap_exp.analysis.run import Run
from leap_exp.analysis.statistics import Comparison, compare
from leap_exp.analysis.sweep import DEFAULT_ARM, Group, Sweep
from leap_exp.core.types import Correction, Trajectory
from leap_exp.runs import read_records, round_name

CLONING = "behaviour cloning"
"""What every arm is compared with: the student before its first round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The runs of one condition with different seeds.

    Attributes:
        label: Its name.
        seeds: Its seeds.
        success: Mean success after the last round.
        gain: The last round against behaviour cloning.
        against: The last round against that of each baseline with a seed in common.
        labels: Decisions by the teacher in the rounds after cloning, mean over seeds.
        tokens: Tokens trained on in these rounds, mean over seeds; None if a run does not say.
    """

    label: str
    seeds: Sequence[int]
    success: float
    gain: Comparison | None
    against: Mapping[str, Comparison]
    labels: float
    tokens: float | None


def read_arms(sweep: Sweep) -> list[Arm]:
    """Return the groups of ``sweep`` as arms; none if it has no baseline to compare them with.

    Groups that are not complete are left out.
    Baselines are the control for length (``learn_from=demonstrations``), the default arm, and for an arm with
    privileged facts those whose teacher was told something else in their place under the same rule.
    """
    groups = sweep.complete_groups
    baselines = {
        group.label: [
            each for each in groups if each is not group and (_is_baseline(each) or _is_control_of(each, group))
        ]
        for group in groups
    }
    return [_arm(group, baselines[group.label]) for group in groups] if any(baselines.values()) else []


def comparisons(sweep: Sweep, arms: Sequence[Arm]) -> list[tuple[str, str, Comparison]]:
    """Return the tests of a sweep, as (arm, against, comparison): with behaviour cloning, then with the baselines.

    Groups that are not complete have none.
    """
    groups = sweep.complete_groups
    with_cloning = [(each.label, CLONING, each.comparison) for each in groups if each.comparison is not None]
    return [*with_cloning, *((arm.label, name, each) for arm in arms for name, each in arm.against.items())]


def count_labels(run: Run) -> int:
    """Return how many decisions the teacher made in the rounds after cloning: corrections, and steps that it took.

    A step whose own action is learnt from, as in expert iteration, is no label.
    """
    labels = 0
    for entry in run.rounds[1:]:
        folder = run.folder / round_name(entry["round"])
        for name in ("trajectories", "corrections"):
            path = folder / f"{name}.jsonl"
            labels += sum(map(_labels, read_records(path).records)) if path.exists() else 0
    return labels


def _labels(record: object) -> int:
    if isinstance(record, Trajectory):
        return sum(bool(step.taken_by) for step in record.steps)
    if not isinstance(record, Correction) or record.teacher_id == record.trajectory.policy_id:
        return 0
    # Steps that the teacher took in a rollout are counted there.
    return len(record.judged_steps if record.trajectory.resumed_at is None else record.learnt_steps)


def _is_baseline(group: Group) -> bool:
    config = group.runs[0].config
    return config.get("learn_from") == "demonstrations" or group.settings.get("arm") == DEFAULT_ARM


def _is_control_of(control: Group, group: Group) -> bool:
    ours, theirs = group.runs[0].config, control.runs[0].config
    return (
        theirs.get("privilege.control") is not None
        and ours.get("privilege.control") is None
        and ours.get("learn_from") != "demonstrations"
        and ours.get("privilege.disclosure") == theirs.get("privilege.disclosure")
    )


def _arm(group: Group, baselines: Sequence[Group]) -> Arm:
    against = {each.label: _compare(group, each) for each in baselines}
    tokens = [sum(value for place, value in run.series("train/tokens_count") if place) for run in group.runs]
    return Arm(
        label=group.label,
        seeds=[run.seed for run in group.runs],
        success=group.rounds[-1].success_mean,
        gain=group.comparison,
        against={label: comparison for label, comparison in against.items() if comparison is not None},
        labels=fmean(map(count_labels, group.runs)),
        tokens=fmean(tokens) if all(tokens) else None,
    )


def _compare(group: Group, baseline: Group) -> Comparison | None:
    """Compare the last rounds of two groups over the seeds that both have, paired by task."""
    ours = {run.seed: run.scores[len(group.rounds) - 1] for run in group.runs}
    theirs = {run.seed: run.scores[len(baseline.rounds) - 1] for run in baseline.runs}
    seeds = sorted(ours.keys() & theirs.keys())
    return compare([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]) if seeds else None


def arm_results(arms: Sequence[Arm]) -> list[dict[str, object]]:
    """Return the arms as JSON data."""
    return [
        {
            **asdict(arm),
            "gain": _comparison_results(arm.gain),
            "against": {label: _comparison_results(each) for label, each in arm.against.items()},
        }
        for arm in arms
    ]


def _comparison_results(comparison: Comparison | None) -> dict[str, object] | None:
    return None if comparison is None else {"difference": comparison.difference, **asdict(comparison)}


def arms_markdown(arms: Sequence[Arm], notes: Sequence[str] = ()) -> list[str]:
    """Return the lines of a Markdown table of the arms, for the README of an experiment, and of the sweep's ``notes``.

    Differences are in points.
    """
    baselines = list(dict.fromkeys(label for arm in arms for label in arm.against))
    header = ["arm", "seeds", "success", "over cloning", *(f"over {label}" for label in baselines)]
    header += ["labels", "tokens", "points per 1,000 labels", "points per 100,000 tokens"]
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    for arm in arms:
        gain = arm.gain.difference if arm.gain else 0.0
        lines.append(
            _line(
                [
                    *(arm.label, str(len(arm.seeds)), f"{100 * arm.success:.1f} %", _difference(arm.gain)),
                    *(_difference(arm.against.get(label)) for label in baselines),
                    *(f"{arm.labels:,.0f}", f"{arm.tokens:,.0f}" if arm.tokens else ""),
                    *(_per(gain, arm.labels, 1_000), _per(gain, arm.tokens, 100_000)),
                ]
            )
        )
    return [*lines, *(line for note in notes for line in ("", note))]


def _difference(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    low, high = (_points(value, 0) for value in (comparison.low, comparison.high))
    return f"{_points(comparison.difference, 1)} ({low} to {high}), p = {comparison.p:.4f}"


def _per(gain: float, amount: float | None, unit: int) -> str:
    return _points(gain * unit / amount, 1) if amount else ""


def _points(share: float, digits: int) -> str:
    """Return a difference in percentage points, with its sign unless it rounds to zero."""
    points = round(100 * share, digits)
    return f"{points:+.{digits}f}" if points else f"{0:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
