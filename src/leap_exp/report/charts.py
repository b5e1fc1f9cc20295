"""Line charts as SVG text: a measure over rounds or privilege levels, with intervals.

Colours and fonts come from CSS classes, so that a chart in a page follows the page's theme. ``standalone`` adds a light
style for a separate file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

WIDTH, HEIGHT = 720, 330
TOP, BOTTOM, LEFT = 18, 46, 72
LABEL_GAP = 15
"""Minimum distance between the names at the ends of lines, in chart units."""
CHARACTER_WIDTH = 7.6
"""Width reserved per character of a name; enough for the larger type on small screens."""
COLOURS = 8
"""Number of colours in chart.css; further series start again at the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A mean at a place on the x axis, with its interval and the text of its tooltip."""

    x: int
    y: float
    low: float
    high: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A named line.

    Faint lines (single seeds) are in the background, without a name at their end. ``dashed`` distinguishes a line from
    another of the same colour. A curve of many points has no ``dots``.
    """

    name: str
    colour: int
    points: tuple[Point, ...]
    faint: bool = False
    dashed: bool = False
    dots: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The y axis: its title, its ends, and whether its values are shares shown in per cent."""

    title: str
    low: float
    high: float
    percent: bool

    def label(self, value: float) -> str:
        """Format ``value`` as an axis label."""
        return f"{100 * value:.0f} %" if self.percent else f"{value:.4g}"

    def ticks(self) -> list[float]:
        """Return three to seven round values within the axis."""
        span = self.high - self.low
        magnitude: float = 10.0 ** math.floor(math.log10(span))
        step = next(m * magnitude for m in (0.1, 0.2, 0.25, 0.5, 1, 2) if span / (m * magnitude) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def fit_axis(title: str, series: Sequence[Series], *, percent: bool) -> Axis:
    """Return an axis that contains all intervals. Shares always get 0 to 100 %, so that charts are easy to compare."""
    if percent:
        return Axis(title=title, low=0.0, high=1.0, percent=True)
    values = [value for line in series for point in line.points for value in (point.low, point.high)]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.5
    # If all values have the same sign, the axis ends at zero, unless they are all far from it.
    low = 0.0 if 0 <= low < 0.6 * high else low - margin
    high = 0.0 if 0 >= high > 0.6 * low else high + margin
    return Axis(title=title, low=low, high=high, percent=False)


def line_chart(series: Sequence[Series], *, x_labels: Sequence[str], x_title: str, axis: Axis, summary: str) -> str:
    """Return an SVG element with one line per series; ``summary`` describes it in words."""
    named = [line for line in series if not line.faint and line.points]
    right = 22 + max((CHARACTER_WIDTH * len(line.name) for line in named if len(named) > 1), default=0.0)
    frame = _Frame(axis=axis, columns=len(x_labels), right=WIDTH - right)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(summary)}</title>",
        *_grid(frame, x_labels, x_title),
        *(_faint_line(frame, line) for line in series if line.faint),
        *(part for index, line in enumerate(named) for part in _line(frame, line, _offset(index, named))),
        *(_end_labels(frame, named) if len(named) > 1 else []),
        "</svg>",
    ]
    return "\n".join(parts)


def standalone(svg: str) -> str:
    """Return ``svg`` as the content of a separate file, on white."""
    style = files("leap_exp.report").joinpath("templates/chart.css").read_text(encoding="utf-8")
    light = f"<style>{style}</style>\n" + f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    head, rest = svg.split("\n", 1)
    return f"{head}\n{light}\n{rest}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Maps values to chart coordinates."""

    axis: Axis
    columns: int
    right: float

    def x(self, column: float) -> float:
        inset = 26
        if self.columns == 1:
            return (LEFT + self.right) / 2
        return LEFT + inset + column * (self.right - LEFT - 2 * inset) / (self.columns - 1)

    def y(self, value: float) -> float:
        share = (value - self.axis.low) / (self.axis.high - self.axis.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(frame: _Frame, x_labels: Sequence[str], x_title: str) -> list[str]:
    lines = []
    for value in frame.axis.ticks():
        y = frame.y(value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{frame.axis.label(value)}</text>'
        )
    bottom = HEIGHT - BOTTOM + 20
    for column, label in enumerate(x_labels):
        x = frame.x(column)
        lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom}" text-anchor="middle">{escape(label)}</text>')
    middle = (LEFT + frame.right) / 2
    lines.append(f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>')
    rotated = f'transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.1f}) rotate(-90)"'
    lines.append(f'<text class="axis" text-anchor="middle" {rotated}>{escape(frame.axis.title)}</text>')
    return lines


def _offset(index: int, named: Sequence[Series]) -> float:
    """Return the horizontal offset of a series, so that the intervals of several do not cover each other."""
    if not any(point.high > point.low for line in named for point in line.points):
        return 0.0
    return 6.0 * (index - (len(named) - 1) / 2)


def _faint_line(frame: _Frame, line: Series) -> str:
    path = " ".join(f"{frame.x(point.x):.1f},{frame.y(point.y):.1f}" for point in line.points)
    title = f"<title>{escape(line.name)}</title>"
    return f'<polyline class="line faint c{line.colour % COLOURS}" points="{path}">{title}</polyline>'


def _line(frame: _Frame, line: Series, offset: float) -> list[str]:
    colour = f"c{line.colour % COLOURS}"
    path = " ".join(f"{frame.x(point.x) + offset:.1f},{frame.y(point.y):.1f}" for point in line.points)
    dashed = " dashed" if line.dashed else ""
    parts = [f'<polyline class="line{dashed} {colour}" points="{path}"/>']
    for point in line.points if line.dots or len(line.points) == 1 else ():
        x, low, high = frame.x(point.x) + offset, frame.y(point.low), frame.y(point.high)
        parts.append(f'<g class="point {colour}"><title>{escape(point.note)}</title>')
        if point.high > point.low:
            caps = f"M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
            parts.append(f'<path class="interval" d="M{x:.1f} {low:.1f}V{high:.1f}{caps}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{frame.y(point.y):.1f}" r="4"/></g>')
    return parts


def _end_labels(frame: _Frame, named: Sequence[Series]) -> list[str]:
    """Return the names of the series beside their last points, moved apart where they would overlap."""
    ordered = sorted(named, key=lambda line: frame.y(line.points[-1].y))
    places: list[float] = []
    for line in ordered:
        wanted = frame.y(line.points[-1].y)
        places.append(max(wanted, places[-1] + LABEL_GAP) if places else wanted)
    overhang = max(0.0, places[-1] - (HEIGHT - BOTTOM))
    return [
        f'<text class="name c{line.colour % COLOURS}" x="{frame.right + 4:.1f}" y="{place - overhang + 4:.1f}">'
        f"{escape(line.name)}</text>"
        for line, place in zip(ordered, places, strict=True)
    ]
