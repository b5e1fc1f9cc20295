"""The report of a sweep: a page, and the files that an experiment's folder keeps (results, table, figures)."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from leap_exp.report.charts import Point, Series, fit_axis, line_chart, standalone
from leap_exp.report.page import numbers, percent, write_page
from leap_exp.report.run import Run
from leap_exp.report.run_page import Table
from leap_exp.report.sweep import TRADE_OFF, Group, RoundSummary, Sweep
from leap_exp.store import write_document, write_whole


def write_sweep_page(sweep: Sweep, folder: Path) -> Path:
    """Write report.html, results.json, summary.csv and the figures of ``sweep`` into ``folder``.

    Returns:
        The path of report.html.
    """
    figures = {"success.svg": success_figure(sweep), **ladder_figures(sweep)}
    for name, svg in figures.items():
        write_whole(folder / name, [standalone(svg)])
    write_document(folder / "results.json", results(sweep))
    write_whole(folder / "summary.csv", [summary_csv(sweep, folder).rstrip("\n")])
    path = folder / "report.html"
    success, *ladders = figures.values()
    context = {
        "sweep": sweep,
        "success": Markup(success),  # noqa: S704 - charts escape the names they show
        "ladders": [Markup(svg) for svg in ladders],  # noqa: S704
        "rounds": rounds_table(sweep),
        "trade_off": trade_off_table(sweep),
        "links": {run.folder: os.path.relpath(run.folder / "report.html", folder) for run in _runs(sweep)},
    }
    write_page(path, "sweep.html.j2", context)
    return path


def success_figure(sweep: Sweep) -> str:
    """Success by round: a line a group (mean and interval over seeds), single seeds faint behind it."""
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
    low, high = entry.interval
    note = f"{group.label}, {entry.label}: {percent(entry.success)}, 95 % interval {percent(low)} to {percent(high)}"
    return Point(x=place, y=entry.success, low=low, high=high, note=note)


def _plain(x: int, y: float) -> Point:
    return Point(x=x, y=y, low=y, high=y, note=f"{y:.3g}")


def ladder_figures(sweep: Sweep) -> dict[str, str]:
    """The last round over the groups, such as the levels of privilege; none where two settings set them apart."""
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
    """Mean success with its interval, a row a group and a column a round."""
    longest = max((group.rounds for group in sweep.groups), key=len)
    rows = []
    for group in sweep.groups:
        cells = [
            f"{percent(entry.success)} ({100 * entry.interval[0]:.0f} to {100 * entry.interval[1]:.0f})"
            for entry in group.rounds
        ]
        rows.append((group.label, cells + [""] * (len(longest) - len(cells))))
    return Table(columns=[entry.label for entry in longest], rows=rows)


def trade_off_table(sweep: Sweep) -> Table:
    """What the corrections asked of the student in the last round: a row a measure, a column a group."""
    rows = []
    for metric, heading in TRADE_OFF.items():
        row = [group.measures.get(metric) for group in sweep.groups]
        if any(value is not None for value in row):
            share = metric.endswith("share")
            rows.append((heading, [percent(value) for value in row] if share else numbers(row)))
    return Table(columns=[group.label for group in sweep.groups], rows=rows)


def results(sweep: Sweep) -> dict[str, object]:
    """The sweep's figures as data."""
    return {"keys": list(sweep.keys), "notes": list(sweep.notes), "groups": [_group_results(g) for g in sweep.groups]}


def _group_results(group: Group) -> dict[str, object]:
    versus = group.comparison
    return {
        "label": group.label,
        "settings": dict(group.settings),
        "seeds": [run.seed for run in group.runs],
        "panel_hash": group.runs[0].rounds[0]["panel_hash"],
        "split": group.runs[0].rounds[0]["split"],
        "rounds": [
            {
                "round": entry.round,
                "success_mean": entry.success,
                "success_ci95": list(entry.interval),
                "success_by_seed": list(entry.by_seed),
                "score_mean": entry.score,
                "steps_mean": entry.steps,
                "invalid_action_rate": entry.invalid,
                "unscored": entry.unscored,
            }
            for entry in group.rounds
        ],
        "last_round_vs_behaviour_cloning": None
        if versus is None
        else {
            "tasks": versus.tasks,
            "difference": versus.difference,
            "difference_ci95": [versus.low, versus.high],
            "permutation_p": versus.p,
        },
        "last_round_measures": dict(group.measures),
    }


CSV_COLUMNS = ("success_rate", "score_mean", "steps_mean", "invalid_action_rate", "n", "unscored")


def summary_csv(sweep: Sweep, folder: Path) -> str:
    """One line a run and round, with the settings that set the runs apart."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *sweep.keys, "seed", "round", *CSV_COLUMNS, "success_ci95_low", "success_ci95_high"])
    for group in sweep.groups:
        for run in group.runs:
            name = run.folder.relative_to(folder).as_posix()
            for entry in run.rounds:
                values = [entry[column] for column in CSV_COLUMNS]
                writer.writerow(
                    [name, *group.settings.values(), run.seed, entry["round"], *values, *entry["success_ci95"]]
                )
    return text.getvalue()


def _runs(sweep: Sweep) -> list[Run]:
    return [run for group in sweep.groups for run in group.runs]
