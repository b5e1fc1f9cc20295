"""The report of a sweep: a page, and the results, table and figures that an experiment's folder keeps."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from leap_exp.analysis.arms import arm_results, arms_markdown, read_arms
from leap_exp.analysis.environments import compare_environments, environments_markdown, environments_results
from leap_exp.analysis.sweep import Group, RoundSummary, Sweep, results, table
from leap_exp.report.charts import Point, Series, fit_axis, line_chart, standalone
from leap_exp.report.page import Table, numbers, percent, write_page
from leap_exp.runs import write_document, write_whole

TRADE_OFF = {
    "realizability/heldout_epsilon": "epsilon, held out",
    "realizability/heldout_gain_nats": "gain, held out (nats)",
    "realizability/changed_share": "steps changed",
    "leakage/share": "reasons leaking",
}
"""Measures of the last round, with their headings."""


def write_sweep_page(sweep: Sweep, folder: Path) -> Path:
    """Write report.html, results.json, summary.csv and the figures of ``sweep`` into ``folder``.

    If it has arms beside a control, also arms.md, a table of them; if it has a student of several environments beside
    students of one each, environments.md.

    Returns:
        The path of report.html.
    """
    figures = {"success.svg": success_figure(sweep), **ladder_figures(sweep)}
    for name, svg in figures.items():
        write_whole(folder / name, [standalone(svg)])
    arms, environments = read_arms(sweep), compare_environments(sweep)
    figures_of = {
        **({"arms": arm_results(arms)} if arms else {}),
        **({"environments": environments_results(environments)} if environments else {}),
    }
    write_document(folder / "results.json", {**results(sweep), **figures_of})
    if environments:
        write_whole(folder / "environments.md", environments_markdown(environments))
    if arms:
        write_whole(folder / "arms.md", arms_markdown(arms))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table(sweep, folder))
    write_whole(folder / "summary.csv", [text.getvalue().rstrip("\n")])
    path = folder / "report.html"
    success, *ladders = figures.values()
    context = {
        "sweep": sweep,
        "success": Markup(success),  # noqa: S704 - charts escape the names they show
        "ladders": [Markup(svg) for svg in ladders],  # noqa: S704
        "arms": arms,
        "environments": environments,
        "rounds": rounds_table(sweep),
        "trade_off": trade_off_table(sweep),
        "links": {run.folder: os.path.relpath(run.folder / "report.html", folder) for run in sweep.runs},
    }
    write_page(path, "sweep.html.j2", context)
    return path


def success_figure(sweep: Sweep) -> str:
    """Return the chart of success by round: a line per group, and faint lines for the seeds of a single group."""
    series = []
    for colour, group in enumerate(sweep.groups):
        if len(sweep.groups) == 1 < len(group.runs):
            for run in group.runs:
                points = [_plain(place, run.rounds[place]["success_rate"]) for place in range(len(group.rounds))]
                name = f"{group.label}, seed {run.seed}"
                series.append(Series(name=name, colour=colour, points=tuple(points), faint=True))
        points = [_point(group, place, entry) for place, entry in enumerate(group.rounds)]
        series.append(Series(name=group.label, colour=colour, points=tuple(points)))
    labels = max(([entry.label for entry in group.rounds] for group in sweep.groups), key=len)
    axis = fit_axis("success on the panel", series, percent=True)
    x_title = "round (BC: behaviour cloning)" if "BC" in labels else ""
    return line_chart(series, x_labels=labels, x_title=x_title, axis=axis, summary="Success on the panel by round")


def _point(group: Group, place: int, entry: RoundSummary) -> Point:
    low, high = entry.success_ci95
    note = (
        f"{group.label}, {entry.label}: {percent(entry.success_mean)}, 95 % interval {percent(low)} to {percent(high)}"
    )
    return Point(x=place, y=entry.success_mean, low=low, high=high, note=note)


def _plain(x: int, y: float) -> Point:
    return Point(x=x, y=y, low=y, high=y, note=f"{y:.3g}")


def ladder_figures(sweep: Sweep) -> dict[str, str]:
    """Return charts of the last round by group, such as levels of privilege, if one setting distinguishes the groups.

    The keys are file names.
    """
    if len(sweep.groups) == 1 or len(sweep.keys) != 1:
        return {}
    title = "success in the last round"
    points = [
        replace(_point(group, len(group.rounds) - 1, group.rounds[-1]), x=x) for x, group in enumerate(sweep.groups)
    ]
    figures = {"success_by_group.svg": _ladder(sweep, title, points, percent_axis=True)}
    for metric, heading in TRADE_OFF.items():
        if all(metric in group.measures for group in sweep.groups):
            points = [_plain(x, group.measures[metric]) for x, group in enumerate(sweep.groups)]
            figures[f"{metric.replace('/', '_')}_by_group.svg"] = _ladder(
                sweep, heading, points, percent_axis=metric.endswith("share")
            )
    return figures


def _ladder(sweep: Sweep, title: str, points: Sequence[Point], *, percent_axis: bool) -> str:
    series = [Series(name=title, colour=0, points=tuple(points))]
    x_title = sweep.keys[0].removesuffix(".name")
    return line_chart(
        series,
        x_labels=[group.label for group in sweep.groups],
        x_title=x_title,
        axis=fit_axis(title, series, percent=percent_axis),
        summary=f"{title} by {x_title}",
    )


def rounds_table(sweep: Sweep) -> Table:
    """Return the table of mean success and its interval, with a row per group and a column per round."""
    longest = max((group.rounds for group in sweep.groups), key=len)
    rows = []
    for group in sweep.groups:
        cells = [
            f"{percent(entry.success_mean)} ({100 * entry.success_ci95[0]:.0f} to {100 * entry.success_ci95[1]:.0f})"
            for entry in group.rounds
        ]
        rows.append((group.label, cells + [""] * (len(longest) - len(cells))))
    return Table(columns=[entry.label for entry in longest], rows=rows)


def trade_off_table(sweep: Sweep) -> Table:
    """Return the table of the last round's measures, with a row per measure and a column per group."""
    rows = []
    for metric, heading in TRADE_OFF.items():
        row = [group.measures.get(metric) for group in sweep.groups]
        if any(value is not None for value in row):
            share = metric.endswith("share")
            rows.append((heading, [percent(value) for value in row] if share else numbers(row)))
    return Table(columns=[group.label for group in sweep.groups], rows=rows)
