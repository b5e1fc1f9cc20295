"""The learning curves of a sweep: success by round, and the loss while training on corrections."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from leap_exp.analysis.sweep import Group, RoundSummary, Sweep
from leap_exp.report.charts import COLOURS, Point, Series, fit_axis, line_chart
from leap_exp.report.page import Figure, Table, numbers, percent
from leap_exp.report.sweep_tables import rounds_table

CROWDED = 5
"""Most groups whose intervals can be told apart in a chart of several rounds."""
LOSS_POINTS = 40
"""Most points of a curve of losses."""
LOSS_LABELS = 8
"""Most labels on its x axis."""


def success_figure(sweep: Sweep) -> Figure:
    """Return the chart of success by round: a line per group, and faint lines for the seeds of a single group.

    Of many groups the intervals would hide the lines; the table has them.
    """
    series = []
    is_crowded = len(sweep.groups) > CROWDED
    for colour, group in enumerate(sweep.groups):
        if len(sweep.groups) == 1 < len(group.runs):
            for run in group.runs:
                points = [_plain(place, run.rounds[place]["success_rate"]) for place in range(len(group.rounds))]
                name = f"{group.label}, seed {run.seed}"
                series.append(Series(name=name, colour=colour, points=tuple(points), faint=True))
        points = [_point(group, place, entry) for place, entry in enumerate(group.rounds)]
        if is_crowded:
            points = [replace(point, low=point.y, high=point.y) for point in points]
        dashed = colour >= COLOURS
        series.append(Series(name=group.short, colour=colour, points=tuple(points), dashed=dashed))
    labels = max(([entry.label for entry in group.rounds] for group in sweep.groups), key=len)
    axis = fit_axis("success on the panel", series, percent=True)
    x_title = "round (BC: behaviour cloning)" if "BC" in labels else ""
    summary = "Success on the panel by round"
    svg = line_chart(series, x_labels=labels, x_title=x_title, axis=axis, summary=summary)
    caption = "Mean over seeds. " + (
        "The table has the intervals."
        if is_crowded
        else "Bars: Student's 95 % interval over seeds, or Wilson's where there is one seed."
    )
    if len(sweep.groups) == 1:
        caption += " Faint: single seeds."
    return Figure(svg=svg, title=summary, caption=caption, table=rounds_table(sweep))


def _point(group: Group, place: int, entry: RoundSummary) -> Point:
    low, high = entry.success_ci95
    note = (
        f"{group.label}, {entry.label}: {percent(entry.success_mean)}, 95 % interval {percent(low)} to {percent(high)}"
    )
    return Point(x=place, y=entry.success_mean, low=low, high=high, note=note)


def _plain(x: float, y: float, note: str = "") -> Point:
    return Point(x=x, y=y, low=y, high=y, note=note or f"{y:.3g}")


def loss_figure(sweep: Sweep) -> Figure | None:
    """Return the chart of the loss by optimizer step after cloning, mean over seeds; None without logged steps."""
    losses = {group.label: _mean_losses(group) for group in sweep.groups}
    longest = max(map(len, losses.values()))
    if not longest:
        return None
    width = -(-longest // LOSS_POINTS)
    series = []
    for colour, group in enumerate(sweep.groups):
        values = losses[group.label]
        bins = [fmean(values[start : start + width]) for start in range(0, len(values), width)]
        points = [_plain(place, mean, f"{group.label}: {mean:.3g}") for place, mean in enumerate(bins)]
        if points:
            dashed = colour >= COLOURS
            series.append(Series(name=group.short, colour=colour, points=tuple(points), dots=False, dashed=dashed))
    ends = [f"{min((place + 1) * width, longest):,}" for place in range(-(-longest // width))]
    every = -(-len(ends) // LOSS_LABELS)
    summary = "Loss by optimizer step, rounds after cloning"
    svg = line_chart(
        series,
        x_labels=[label if place % every == 0 else "" for place, label in enumerate(ends)],
        x_title="optimizer step after cloning",
        axis=fit_axis("loss", series, percent=False),
        summary=summary,
    )
    rows = [(line.name, numbers([line.points[0].y, line.points[-1].y])) for line in series]
    caption = "Mean over seeds and over neighbouring steps. Losses of different objectives cannot be compared."
    return Figure(svg=svg, title=summary, caption=caption, table=Table(columns=["first", "last"], rows=rows))


def _mean_losses(group: Group) -> Sequence[float]:
    """Return the loss of each step after cloning, over the seeds that have it."""
    by_seed = [[loss for losses in run.losses()[1 : len(group.rounds)] for loss in losses] for run in group.runs]
    count = max(map(len, by_seed))
    return [fmean(values[step] for values in by_seed if step < len(values)) for step in range(count)]
