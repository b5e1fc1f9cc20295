"""Charts with the arms of a sweep side by side: levels of privilege as a curve, control arms beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leap_exp.analysis.arm_measures import ArmBound, SeedMean
from leap_exp.analysis.arms import CLONING
from leap_exp.analysis.ladder import Ladder
from leap_exp.analysis.sweep import Group, Sweep
from leap_exp.core.privilege import Disclosure
from leap_exp.report.charts import Point, Series, fit_axis, line_chart
from leap_exp.report.page import Figure, Table, numbers, percent, spread

CONTROLS = "control arms"
REFERENCE_COLOUR = 7

Value = Callable[[Group], SeedMean | None]
"""Gives what a chart shows of an arm; None leaves the arm out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure that gets a chart.

    Attributes:
        metric: Its metric, with ``{sample}`` for the name of the sample that it is taken on.
        title: Title of the y axis.
        caption: What it means, in a sentence.
    """

    metric: str
    title: str
    caption: str


MEASURES: Mapping[str, Sequence[Measure]] = {
    "Realizability": (
        Measure(
            metric="realizability/{sample}_epsilon",
            title="epsilon, after training",
            caption="Distance of the trained student from the teacher's actions, 0 to 2. Lower: easier to follow.",
        ),
        Measure(
            metric="realizability/{sample}_gain_nats",
            title="gain of training (nats)",
            caption="How much likelier the teacher's decisions are after training than before.",
        ),
        Measure(
            metric="realizability/changed_share",
            title="steps changed",
            caption="Share of the student's steps for which the teacher has another action.",
        ),
    ),
    "Information": (
        Measure(
            metric="information/{sample}_nats",
            title="information (nats)",
            caption="What the history leaves open of the teacher's action: the part that no student can realize.",
        ),
        Measure(
            metric="information/{sample}_floor",
            title="floor of epsilon",
            caption="The smallest epsilon of any policy that sees only the history, 0 to 2.",
        ),
    ),
    "Recoverability": (
        Measure(
            metric="recoverability/{sample}_max_steps",
            title="H (steps)",
            caption="The most that one action costs if the privileged teacher goes on.",
        ),
        Measure(
            metric="recoverability/{sample}_mean_steps",
            title="mean cost (steps)",
            caption="What an action costs on average, without those after which nothing can be won.",
        ),
        Measure(
            metric="recoverability/{sample}_shortened_share",
            title="corrections that help",
            caption="Share of changed steps where the teacher's action shortens the exact plan.",
        ),
    ),
    "Facts and reasons": (
        Measure(
            metric="utility/utility",
            title="utility of facts",
            caption="Success of the student with the facts in its prompt minus success without them.",
        ),
        Measure(
            metric="leakage/share",
            title="reasons leaking",
            caption="Share of the teacher's reasons that state what the history does not show.",
        ),
        Measure(
            metric="reader/excess_nats",
            title="leakage to a reader (nats)",
            caption="How much a reason tells a model that reads it about hidden facts, beyond any other text.",
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAxis:
    """The x axis of the charts of a sweep.

    Attributes:
        labels: The labels of its places.
        title: Its title.
        divider: Where control arms begin, with the name of that part; None without any.
        curves: By name, the arms that are joined by a line, with their places.
        alone: The other arms with their places.
    """

    labels: Sequence[str]
    title: str
    divider: tuple[float, str] | None
    curves: Mapping[str, Sequence[tuple[float, Group]]]
    alone: Sequence[tuple[float, Group]]

    @classmethod
    def of(cls, sweep: Sweep, ladder: Ladder | None) -> "ArmAxis":
        """Return the axis of a sweep: its levels and then its control arms or, without levels, all arms."""
        if ladder is None:
            return cls(
                labels=[group.short for group in sweep.groups],
                title=", ".join(key.removesuffix(".name") for key in sweep.keys),
                divider=None,
                curves={},
                alone=list(enumerate(sweep.groups)),
            )
        first, last = ladder.levels[0], ladder.levels[-1]
        levels = [level.value for level in Disclosure if first <= level.percent <= last]
        places = {Disclosure(level).percent: float(place) for place, level in enumerate(levels)}
        return cls(
            labels=[*levels, *(group.short for group in ladder.controls)],
            title="privilege",
            divider=(len(levels) - 0.5, CONTROLS) if ladder.controls else None,
            curves={
                curve.name: [(places[level], group) for level, group in curve.arms.items()] for curve in ladder.curves
            },
            alone=[(float(len(levels) + place), group) for place, group in enumerate(ladder.controls)],
        )


def success_by_arm(axis: ArmAxis, sweep: Sweep) -> Figure:
    """Return the trade-off curve: success in the last round by level of privilege, with the control arms beside it."""

    def success(group: Group) -> SeedMean:
        last = group.rounds[-1]
        return SeedMean(mean=last.success_mean, low=last.success_ci95[0], high=last.success_ci95[1])

    series = _series(axis, "last round", 0, success, percent)
    trained = [group for group in sweep.groups if group.comparison is not None]
    if trained:
        cloned = fmean(group.rounds[0].success_mean for group in trained)
        # From one side of the chart to the other.
        ends = (-1.0, float(len(axis.labels)))
        points = tuple(Point(x=x, y=cloned, low=cloned, high=cloned, note="") for x in ends)
        series.append(Series(name=CLONING, colour=REFERENCE_COLOUR, points=points, dots=False, dashed=True))
    return _figure(
        axis,
        series,
        "success in the last round",
        is_share=True,
        caption="Mean over seeds. Bars: Student's 95 % interval over seeds, or Wilson's where there is one seed. "
        + ("Control arms have no place among the levels. " if axis.divider else "")
        + (f"Dashed: {CLONING}, before any correction." if trained else ""),
    )


def measure_figures(axis: ArmAxis, sweep: Sweep) -> dict[str, dict[str, Figure]]:
    """Return the charts of the measures that some arm has, by heading and metric."""
    found: dict[str, dict[str, Figure]] = {}
    for heading, measures in MEASURES.items():
        for measure in measures:
            metric = _sampled(measure.metric, sweep)
            if metric is not None:
                found.setdefault(heading, {})[metric] = _measure_figure(axis, measure, metric)
    return found


def _measure_figure(axis: ArmAxis, measure: Measure, metric: str) -> Figure:
    is_share = metric.endswith("share")
    series = _series(axis, measure.title, 0, lambda group: group.measures.get(metric), percent if is_share else _plain)
    caption = f"{measure.caption} Measured on training tasks." if "/train_" in metric else measure.caption
    return _figure(axis, series, measure.title, is_share=is_share, caption=caption)


def measure_metrics(sweep: Sweep) -> list[tuple[str, str]]:
    """Return the metrics of the measures that some arm has, with their titles."""
    every = (measure for measures in MEASURES.values() for measure in measures)
    return [(metric, measure.title) for measure in every if (metric := _sampled(measure.metric, sweep))]


def _sampled(metric: str, sweep: Sweep) -> str | None:
    """Return ``metric`` on the held-out sample or, where some arm has only the other, on that; None if no arm has it.

    So all arms of a chart are measured on the same sample.
    """
    has = {
        sample: {g.label for g in sweep.groups if metric.format(sample=sample) in g.measures}
        for sample in ("heldout", "train")
    }
    sample = "train" if has["train"] > has["heldout"] else "heldout"
    return metric.format(sample=sample) if has[sample] else None


def bound_figure(axis: ArmAxis, bounds: Mapping[str, ArmBound]) -> Figure | None:
    """Return the chart of both sides of the bound and of its terms, by the label of the arm; None without any."""
    if not bounds:
        return None
    terms: Sequence[tuple[str, Callable[[ArmBound], SeedMean]]] = (
        ("best student", lambda bound: bound.best),
        ("teacher", lambda bound: bound.teacher),
        ("H·ε", lambda bound: bound.gap),
        ("gamma", lambda bound: bound.regret),
        ("bound", lambda bound: bound.right),
    )
    series = []
    for colour, (name, term) in enumerate(terms):

        def value(group: Group, term: Callable[[ArmBound], SeedMean] = term) -> SeedMean | None:
            return term(bounds[group.label]) if group.label in bounds else None

        series += _series(axis, name, colour, value, _plain)
    return _figure(
        axis,
        series,
        "success per step",
        is_share=False,
        caption="The bound is the teacher minus H·ε minus gamma. It holds if the best student is not below it.",
    )


def _plain(value: float) -> str:
    return f"{value:.3g}"


def _series(axis: ArmAxis, name: str, colour: int, value: Value, form: Callable[[float], str]) -> list[Series]:
    """Return the curves of a value, and the arms that are on none."""
    found = []
    for place, (curve, arms) in enumerate(axis.curves.items()):
        label = f"{name}, {curve}" if curve else name
        points = _points(arms, value, form)
        found.append(Series(name=label, colour=colour + place, points=points))
    found.append(Series(name=name, colour=colour, points=_points(axis.alone, value, form), joined=False))
    return [series for series in found if series.points]


def _points(arms: Sequence[tuple[float, Group]], value: Value, form: Callable[[float], str]) -> tuple[Point, ...]:
    found = []
    for place, group in arms:
        shown = value(group)
        if shown is not None:
            interval = f", 95 % interval {spread(shown.low, shown.high, form)}" if shown.high > shown.low else ""
            note = f"{group.label}: {form(shown.mean)}{interval}"
            found.append(Point(x=place, y=shown.mean, low=shown.low, high=shown.high, note=note))
    return tuple(found)


def _figure(axis: ArmAxis, series: Sequence[Series], title: str, *, is_share: bool, caption: str) -> Figure:
    scale = fit_axis(title, series, percent=is_share)
    svg = line_chart(
        series,
        x_labels=axis.labels,
        x_title=axis.title,
        axis=scale,
        summary=f"{title} by {axis.title}",
        has_legend=True,
        divider=axis.divider,
    )
    return Figure(svg=svg, title=title, caption=caption, table=arm_table(axis, series, is_share=is_share))


def arm_table(axis: ArmAxis, series: Sequence[Series], *, is_share: bool) -> Table:
    """Return the values of a chart with a row per place on the x axis and a column per name of its lines."""
    names = list(dict.fromkeys(line.name for line in series if line.dots))
    values = {(line.name, point.x): point for line in series for point in line.points}
    rows = []
    for place, label in enumerate(axis.labels):
        points = [values.get((name, float(place))) for name in names]
        if any(points):
            rows.append((label, [_cell(point, is_share=is_share) for point in points]))
    return Table(columns=names, rows=rows)


def _cell(point: Point | None, *, is_share: bool) -> str:
    if point is None:
        return ""
    form: Callable[[float], str] = percent if is_share else lambda value: numbers([value])[0]
    interval = f" ({spread(point.low, point.high, form)})" if point.high > point.low else ""
    return f"{form(point.y)}{interval}"
