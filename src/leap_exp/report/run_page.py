"""The report of one run."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from leap_exp.analysis.statistics import bootstrap_interval, pair_by_task, permutation_test
from leap_exp.report.charts import Point, Series, fit_axis, line_chart
from leap_exp.report.page import embed, numbers, percent, write_page
from leap_exp.report.run import Run
from leap_exp.report.viewer import TRAJECTORIES, viewer_data

GROUPS = ("env", "teacher", "privilege", "student", "trainer")
"""The choices that a report names first."""

CORRECTION_METRICS = {
    "rollout/n_count": "rollouts scored",
    "rollout/success_rate": "rollout success",
    "correct/corrections_count": "corrected",
    "correct/failures_count": "failed to correct",
    "correct/changed_share": "steps changed",
    "leakage/share": "reasons leaking",
    "llm/correct/cost_dollars": "cost of correcting (dollars)",
    "aggregate/corrections_count": "trained on",
}
"""What the corrections table shows of each round, and under which heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The last round against behaviour cloning on the same panel, paired by task."""

    tasks: int
    before: float
    after: float
    low: float
    high: float
    p: float

    @property
    def difference(self) -> float:
        """By how much the last round is better."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Named rows of cells that are ready to be shown."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def compare(last: Sequence[Mapping[str, float]], first: Sequence[Mapping[str, float]]) -> Comparison | None:
    """Compare scores by task, one mapping a seed; None where no task was scored in both."""
    after, before = pair_by_task(last, first)
    if not after:
        return None
    low, high = bootstrap_interval(after, before, seed=0)
    return Comparison(
        tasks=len(after),
        before=sum(before) / len(before),
        after=sum(after) / len(after),
        low=low,
        high=high,
        p=permutation_test(after, before, seed=0),
    )


def write_run_page(run: Run, path: Path) -> None:
    """Write the report of ``run`` to ``path``."""
    comparison = compare([run.scores[-1]], [run.scores[0]]) if len(run.rounds) > 1 else None
    context = {
        "name": run.folder.resolve().name,
        "choices": choices(run),
        "rounds": list(zip(run.round_labels, run.rounds, strict=True)),
        "comparison": comparison,
        "success_chart": success_chart(run),
        "kinds": sorted({kind for entry in run.rounds for kind in entry["per_task_type"]}),
        "corrections": metric_table(run, CORRECTION_METRICS),
        "realizability_chart": realizability_chart(run),
        "realizability": metric_table(run, _named(run, "realizability/")),
        "loss_chart": loss_chart(run),
        "training": metric_table(run, _named(run, "train/")),
        "metrics": metric_table(run, {name: name for name in _names(run)}),
        "timings": timing_table(run),
        "config": run.config_text,
        "provenance": json.dumps({key: value for key, value in run.provenance.items() if key != "git"}, indent=2),
        "git": run.provenance.get("git") or {},
        "data": embed(viewer_data(run.folder, run.round_labels)),
        "most_trajectories": TRAJECTORIES,
    }
    write_page(path, "run.html.j2", context)


def choices(run: Run) -> list[tuple[str, str]]:
    """What a reader asks first: what was run on what."""
    panel = run.rounds[-1]
    chosen = [(group, run.config.get(f"{group}.name", run.config.get(group))) for group in GROUPS]
    rows = [(group, str(value)) for group, value in chosen if value is not None]
    rows.append(("seed", str(run.seed)))
    rows.append(("panel", f"{panel['n'] + panel['unscored']} tasks of {panel['split']}"))
    rows.append(("panel hash", panel["panel_hash"][:12]))
    return rows


def success_chart(run: Run) -> Markup | None:
    """Success on the panel, round by round, with Wilson's 95 % intervals."""
    points = tuple(
        Point(
            x=place,
            y=entry["success_rate"],
            low=entry["success_ci95"][0],
            high=entry["success_ci95"][1],
            note=f"{label}: {percent(entry['success_rate'])} of {entry['n']} tasks, 95 % interval "
            f"{percent(entry['success_ci95'][0])} to {percent(entry['success_ci95'][1])}",
        )
        for place, (label, entry) in enumerate(zip(run.round_labels, run.rounds, strict=True))
    )
    series = [Series(name="success", colour=0, points=points)]
    axis = fit_axis("success on the panel", series, percent=True)
    return _chart(run, series, axis_title=axis.title, percent_axis=True, summary="Success on the panel by round")


def realizability_chart(run: Run) -> Markup | None:
    """Mean log-probability of the teacher's actions, on held-out and trained-on corrections, before and after."""
    series = [
        _plain_series(
            run,
            f"realizability/{sample}_logprob_{when}_nats",
            name=f"{name}, {when}",
            colour=colour,
            dashed=when == "before",
        )
        for colour, (sample, name) in enumerate({"heldout": "held out", "train": "trained on"}.items())
        for when in ("after", "before")
    ]
    summary = "Mean log-probability of the teacher's actions before and after each round's training"
    return _chart(run, series, axis_title="log-probability (nats)", percent_axis=False, summary=summary)


def loss_chart(run: Run) -> Markup | None:
    """Training and validation loss of each round."""
    names = [name for name in _names(run) if name.startswith("train/") and "loss" in name]
    series = [
        _plain_series(run, name, name=name.removeprefix("train/").removesuffix("_nats").replace("_", " "), colour=place)
        for place, name in enumerate(names)
    ]
    return _chart(run, series, axis_title="loss (nats)", percent_axis=False, summary="Loss by round")


def _plain_series(run: Run, metric: str, *, name: str, colour: int, dashed: bool = False) -> Series:
    points = tuple(
        Point(x=place, y=value, low=value, high=value, note=f"{name}, {run.round_labels[place]}: {value:.3g}")
        for place, value in run.series(metric)
    )
    return Series(name=name, colour=colour, points=points, dashed=dashed)


def _chart(run: Run, series: Sequence[Series], *, axis_title: str, percent_axis: bool, summary: str) -> Markup | None:
    if not any(line.points for line in series):
        return None
    axis = fit_axis(axis_title, series, percent=percent_axis)
    x_title = "round (BC: behaviour cloning)" if "BC" in run.round_labels else ""
    svg = line_chart(series, x_labels=run.round_labels, x_title=x_title, axis=axis, summary=summary)
    return Markup(svg)  # noqa: S704 - charts escape the names they show


def metric_table(run: Run, headings: Mapping[str, str]) -> Table:
    """A table with a row for each metric of ``headings`` that some round has, and a column a round."""
    rows = []
    for name, heading in headings.items():
        values = dict(run.series(name))
        if values:
            row = [values.get(place) for place in range(len(run.rounds))]
            rows.append((heading, [percent(value) for value in row] if _is_share(name) else numbers(row)))
    return Table(columns=run.round_labels, rows=rows)


def timing_table(run: Run) -> Table:
    """Seconds of each stage in each round; a stage that took several goes counts with their sum."""
    seconds: dict[tuple[str, int], float] = {}
    for line in run.timings:
        if "seconds" in line:
            key = line["stage"], line["round"]
            seconds[key] = seconds.get(key, 0.0) + line["seconds"]
    indices = [entry["round"] for entry in run.rounds]
    rows = [
        (stage, numbers([seconds.get((stage, index)) for index in indices]))
        for stage in dict.fromkeys(stage for stage, _ in seconds)
    ]
    if rows:
        totals = [sum(value for (_, at), value in seconds.items() if at == index) for index in indices]
        rows.append(("all stages", numbers(totals)))
    return Table(columns=run.round_labels, rows=rows)


def _names(run: Run) -> list[str]:
    return sorted({name for metrics in run.metrics.values() for name in metrics})


def _named(run: Run, stage: str) -> dict[str, str]:
    """The metrics of a stage with headings a reader can read."""
    return {name: _heading(name.removeprefix(stage)) for name in _names(run) if name.startswith(stage)}


def _heading(name: str) -> str:
    words = re.sub(r"_(nats|count)$", "", name).replace("heldout", "held out:").replace("logprob", "log-probability")
    return re.sub(r"^train_", "trained on: ", words).replace("_", " ")


def _is_share(name: str) -> bool:
    return any(part in name for part in ("share", "_rate", "_ci95_"))
