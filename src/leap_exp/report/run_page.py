"""The report of one run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup

from leap_exp.analysis.run import Run
from leap_exp.report.charts import Point, Series, fit_axis, line_chart
from leap_exp.report.page import Table, embed, numbers, percent, write_page
from leap_exp.report.viewer import TRAJECTORIES, viewer_data

GROUPS = ("env", "teacher", "privilege", "student", "trainer")
"""Config groups whose choices are listed at the top."""

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
"""Metrics in the corrections table, with their headings."""

STEP_POINTS = 120
"""Maximum number of points in the chart of losses by optimizer step, besides one more for each round."""
STEP_LABELS = 10
"""Maximum number of labels on its x axis."""


def write_run_page(run: Run, path: Path) -> None:
    """Write the report of ``run`` to ``path``."""
    seconds = [(stage, numbers(values)) for stage, values in run.stage_seconds().items()]
    context = {
        "name": run.folder.resolve().name,
        "choices": choices(run),
        "rounds": list(zip(run.round_labels, run.rounds, strict=True)),
        "comparison": run.comparison,
        "success_chart": success_chart(run),
        "passes": passes_table(run),
        "environments": environments_table(run),
        "kinds": sorted({kind for entry in run.rounds for kind in entry["per_task_type"]}),
        "corrections": metric_table(run, _for_each_environment(run, CORRECTION_METRICS)),
        "realizability_chart": realizability_chart(run),
        "realizability": metric_table(run, _headings(run, "realizability/")),
        "loss_chart": loss_chart(run),
        "step_chart": step_chart(run),
        "training": metric_table(run, _headings(run, "train/")),
        "metrics": metric_table(run, {name: name for name in run.metric_names}),
        "timings": Table(columns=run.round_labels, rows=seconds),
        "config": run.config_text,
        "provenance": json.dumps({key: value for key, value in run.provenance.items() if key != "git"}, indent=2),
        "git": run.provenance.get("git") or {},
        "data": embed(viewer_data(run.folder, run.round_labels)),
        "most_trajectories": TRAJECTORIES,
    }
    write_page(path, "run.html.j2", context)


def choices(run: Run) -> list[tuple[str, str]]:
    """Return the settings that identify the run, with their headings."""
    panel = run.rounds[-1]
    selected = [(group, run.config.get(f"{group}.name", run.config.get(group))) for group in GROUPS]
    rows = [(group, str(value)) for group, value in selected if value is not None]
    rows.append(("seed", str(run.seed)))
    samples = panel.get("samples", 1)
    each = f", {samples} episodes each" if samples > 1 else ""
    rows.append(("panel", f"{(panel['n'] + panel['unscored']) // samples} tasks of {panel['split']}{each}"))
    rows.append(("panel hash", panel["panel_hash"][:12]))
    return rows


def success_chart(run: Run) -> Markup | None:
    """Return the chart of success on the panel by round, with Wilson's 95 % intervals."""
    points = tuple(
        Point(
            x=place,
            y=entry["success_rate"],
            low=entry["success_ci95"][0],
            high=entry["success_ci95"][1],
            note=f"{label}: {percent(entry['success_rate'])} of {entry['n']} {_units(entry)}, 95 % interval "
            f"{percent(entry['success_ci95'][0])} to {percent(entry['success_ci95'][1])}",
        )
        for place, (label, entry) in enumerate(zip(run.round_labels, run.rounds, strict=True))
    )
    series = [Series(name="success", colour=0, points=points)]
    for colour, name in enumerate(environments(run), start=1):
        series.append(_series(run, f"evaluate/success_rate/{name}", name=name, colour=colour))
    return _chart(run, series, "success on the panel", percent_axis=True, summary="Success on the panel by round")


def environments(run: Run) -> list[str]:
    """Return the names of the environments, if several are joined."""
    return list(run.rounds[-1].get("per_environment", ()))


def environments_table(run: Run) -> Table | None:
    """Return the table of results on the panel of each environment, and their means; None for a single one."""
    if not environments(run):
        return None
    rows = []
    for name in [*environments(run), "mean"]:
        results = [
            entry["environment_means"] if name == "mean" else entry["per_environment"][name] for entry in run.rounds
        ]
        rows.append((f"{name}: success", [percent(each["success_rate"]) for each in results]))
        rows.append((f"{name}: mean score", [f"{each['score_mean']:.3f}" for each in results]))
        rows.append((f"{name}: mean steps", [f"{each['steps_mean']:.1f}" for each in results]))
    return Table(columns=run.round_labels, rows=rows)


def _for_each_environment(run: Run, headings: Mapping[str, str]) -> dict[str, str]:
    """Return ``headings`` with those of the same metrics of each environment, if several are joined."""
    found = dict(headings)
    for name in environments(run):
        found |= {f"{metric}/{name}": f"{heading}: {name}" for metric, heading in headings.items()}
    return found


def passes_table(run: Run) -> Table | None:
    """Return the table of success in one, at least one or all of k episodes of a task; None without several."""
    last = run.rounds[-1]
    if not last.get("pass_at"):
        return None
    rows = [("success in one episode", [percent(entry["success_rate"]) for entry in run.rounds])]
    for k in last["pass_at"]:
        for key, heading in (
            ("pass_at", f"in at least one of {k} (pass@{k})"),
            ("pass_all", f"in all of {k} (pass^{k})"),
        ):
            rates = [entry.get(key, {}).get(k) for entry in run.rounds]
            rows.append((heading, [percent(rate) for rate in rates]))
    return Table(columns=run.round_labels, rows=rows)


def _units(entry: Mapping[str, Any]) -> str:
    return "episodes" if entry.get("samples", 1) > 1 else "tasks"


def realizability_chart(run: Run) -> Markup | None:
    """Return the chart of the mean log-probability of the teacher's actions, before and after training."""
    series = [
        _series(
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
    return _chart(run, series, "log-probability (nats)", summary=summary)


def loss_chart(run: Run) -> Markup | None:
    """Return the chart of the training and validation losses by round."""
    names = [name for name in run.metric_names if name.startswith(("train/loss", "train/valid"))]
    series = [
        _series(run, name, name=name.removeprefix("train/").removesuffix("_nats").replace("_", " "), colour=place)
        for place, name in enumerate(names)
    ]
    return _chart(run, series, "loss (nats)", summary="Loss by round")


def step_chart(run: Run) -> Markup | None:
    """Return the chart of the loss by optimizer step, round after round: means over as many steps each as there fit."""
    losses = run.losses()
    count = sum(map(len, losses))
    if not count:
        return None
    width = -(-count // STEP_POINTS)
    series: list[Series] = []
    labels: list[str] = []
    first = 0
    for place, (label, values) in enumerate(zip(run.round_labels, losses, strict=True)):
        points = []
        for start in range(0, len(values), width):
            mean = fmean(values[start : start + width])
            number = first + min(start + width, len(values))
            points.append(Point(x=len(labels), y=mean, low=mean, high=mean, note=f"step {number}: {mean:.3g}"))
            labels.append(f"{number:,}")
        first += len(values)
        name = label if label == "BC" else f"round {label}"
        series.append(Series(name=name, colour=place, points=tuple(points), dots=False))
    every = -(-len(labels) // STEP_LABELS)
    shown = [label if index % every == 0 else "" for index, label in enumerate(labels)]
    summary = "Loss by optimizer step, round after round"
    axis = fit_axis("loss", [line for line in series if line.points], percent=False)
    svg = line_chart(series, x_labels=shown, x_title="optimizer step of the run", axis=axis, summary=summary)
    return Markup(svg)  # noqa: S704 - charts escape the names they show


def _series(run: Run, metric: str, *, name: str, colour: int, dashed: bool = False) -> Series:
    points = tuple(
        Point(x=place, y=value, low=value, high=value, note=f"{name}, {run.round_labels[place]}: {value:.3g}")
        for place, value in run.series(metric)
    )
    return Series(name=name, colour=colour, points=points, dashed=dashed)


def _chart(
    run: Run, series: Sequence[Series], title: str, *, percent_axis: bool = False, summary: str
) -> Markup | None:
    if not any(line.points for line in series):
        return None
    axis = fit_axis(title, series, percent=percent_axis)
    x_title = "round (BC: behaviour cloning)" if "BC" in run.round_labels else ""
    svg = line_chart(series, x_labels=run.round_labels, x_title=x_title, axis=axis, summary=summary)
    return Markup(svg)  # noqa: S704 - charts escape the names they show


def metric_table(run: Run, headings: Mapping[str, str]) -> Table:
    """Return a table with a row for each metric in ``headings`` that some round has, and a column per round."""
    rows = []
    for name, heading in headings.items():
        values = dict(run.series(name))
        if values:
            row = [values.get(place) for place in range(len(run.rounds))]
            rows.append((heading, [percent(value) for value in row] if _is_share(name) else numbers(row)))
    return Table(columns=run.round_labels, rows=rows)


def _headings(run: Run, stage: str) -> dict[str, str]:
    """Return the metrics of a stage with readable headings."""
    return {name: _heading(name.removeprefix(stage)) for name in run.metric_names if name.startswith(stage)}


def _heading(name: str) -> str:
    words = re.sub(r"_(nats|count)$", "", name).replace("heldout", "held out:").replace("logprob", "log-probability")
    return re.sub(r"^train_", "trained on: ", words).replace("_", " ")


def _is_share(name: str) -> bool:
    return any(part in name for part in ("share", "_rate", "_ci95_"))
