"""Charts as SVG text: a measure over rounds, levels of privilege or arms, with intervals.

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
LINE_HEIGHT = 18
"""Height of a line of the legend."""
LABEL_GAP = 15
"""Minimum distance between the names at the ends of lines, in chart units."""
MOST_NAMES = 18
"""Most names that have room at the ends of lines; of more lines none is named."""
CHARACTER_WIDTH = 7.6
"""Width reserved per character of a name; enough for the larger type on small screens."""
LEGEND_CHARACTER_WIDTH = 9.2
"""The same in a legend, where names must not touch."""
SLANT = 32
"""Angle in degrees of labels on the x axis that have no room side by side."""
SLANTED_WIDTH = 14
"""Width that a slanted label needs; where there is less, some are left out."""
LONGEST_LABEL = 26
"""Characters of a label; of a longer one the middle is left out."""
COLOURS = 8
"""Number of colours in chart.css; further series start again at the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A mean at a place on the x axis, with its interval and the text of its tooltip."""

    x: float
    y: float
    low: float
    high: float
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A named line.

    Faint lines (single seeds) are in the background, without a name at their end. ``dashed`` distinguishes a line from
    another of the same colour. A curve of many points has no ``dots``. Points that are not ``joined`` are hollow and
    are drawn alone; they may have the name of a line that they belong to.
    """

    name: str
    colour: int
    points: tuple[Point, ...]
    faint: bool = False
    dashed: bool = False
    dots: bool = True
    joined: bool = True


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
    low = 0.0 if 0 <= low < 0.6 * high or low == high == 0 else low - margin
    high = 0.0 if 0 >= high > 0.6 * low and low < 0 else high + margin
    return Axis(title=title, low=low, high=high, percent=False)


def line_chart(
    series: Sequence[Series],
    *,
    x_labels: Sequence[str],
    x_title: str,
    axis: Axis,
    summary: str,
    has_legend: bool = False,
    divider: tuple[float, str] | None = None,
) -> str:
    """Return an SVG element with one line per series.

    Args:
        series: The lines; their points are at the places of ``x_labels``, 0 and up.
        x_labels: One for each place on the x axis.
        x_title: Title of the x axis.
        axis: The y axis.
        summary: Describes the chart in words.
        has_legend: Whether the names of the lines are above, instead of at their ends.
        divider: Place of a vertical line, and the name of what is to the right of it.
    """
    named = [line for line in series if not line.faint and line.points]
    has_names = 1 < len(named) <= MOST_NAMES and not has_legend
    right = 22 + (max(CHARACTER_WIDTH * len(_shortened(line.name)) for line in named) if has_names else 0.0)
    labels = list(map(_shortened, x_labels))
    width = (WIDTH - right - LEFT) / len(labels)
    longest = max(map(len, labels))
    is_slanted = CHARACTER_WIDTH * longest > max(width, 40.0)
    legend = _legend(named, WIDTH - LEFT) if has_legend else []
    frame = _Frame(
        axis=axis,
        columns=len(labels),
        right=WIDTH - right,
        top=TOP + LINE_HEIGHT * (len(legend) + bool(divider)),
        bottom=BOTTOM + (CHARACTER_WIDTH * longest * math.sin(math.radians(SLANT)) if is_slanted else 0.0),
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {frame.height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(summary)}</title>",
        *(part for place, line in enumerate(legend) for part in _legend_line(line, TOP + LINE_HEIGHT * place)),
        *_grid(frame, labels, x_title, is_slanted=is_slanted),
        *(_divider(frame, *divider) if divider else []),
        *(_faint_line(frame, line) for line in series if line.faint),
        *(part for line in named for part in _line(frame, line, _offset(line, named))),
        *(_end_labels(frame, named) if has_names else []),
        "</svg>",
    ]
    return "\n".join(parts)


def _shortened(label: str) -> str:
    """Return ``label`` without its middle, if it is too long: what differs is at either end."""
    half = LONGEST_LABEL // 2
    return label if len(label) <= LONGEST_LABEL else f"{label[: half - 1]}…{label[-half:]}"


def standalone(svg: str) -> str:
    """Return ``svg`` as the content of a separate file, on white."""
    style = files("leap_exp.report").joinpath("templates/chart.css").read_text(encoding="utf-8")
    light = f'<style>{style}</style>\n<rect width="100%" height="100%" fill="#fff"/>'
    head, rest = svg.split("\n", 1)
    return f"{head}\n{light}\n{rest}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Maps values to chart coordinates. The area of the values always has the same height."""

    axis: Axis
    columns: int
    right: float
    top: float
    bottom: float

    @property
    def base(self) -> float:
        return self.top + HEIGHT - TOP - BOTTOM

    @property
    def height(self) -> float:
        return self.base + self.bottom

    def x(self, column: float) -> float:
        inset = 26
        if self.columns == 1:
            return (LEFT + self.right) / 2
        x = LEFT + inset + column * (self.right - LEFT - 2 * inset) / (self.columns - 1)
        return min(max(x, LEFT), self.right)

    def y(self, value: float) -> float:
        share = (value - self.axis.low) / (self.axis.high - self.axis.low)
        return self.base - share * (self.base - self.top)


def _grid(frame: _Frame, labels: Sequence[str], x_title: str, *, is_slanted: bool) -> list[str]:
    lines = []
    for value in frame.axis.ticks():
        y = frame.y(value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{frame.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{frame.axis.label(value)}</text>'
        )
    every = math.ceil(SLANTED_WIDTH * len(labels) / (frame.right - LEFT)) if is_slanted else 1
    for column, label in list(enumerate(labels))[::every]:
        x, y = frame.x(column), frame.base + (14 if is_slanted else 20)
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle"'
        if is_slanted:
            place = f'text-anchor="end" transform="translate({x + 4:.1f} {y:.1f}) rotate(-{SLANT})"'
        lines.append(f'<text class="tick" {place}>{escape(label)}</text>')
    middle, bottom = (LEFT + frame.right) / 2, frame.height - 6
    lines.append(f'<text class="axis" x="{middle:.1f}" y="{bottom:.1f}" text-anchor="middle">{escape(x_title)}</text>')
    rotated = f'transform="translate(14 {(frame.top + frame.base) / 2:.1f}) rotate(-90)"'
    lines.append(f'<text class="axis" text-anchor="middle" {rotated}>{escape(frame.axis.title)}</text>')
    return lines


def _divider(frame: _Frame, place: float, name: str) -> list[str]:
    x = frame.x(place)
    return [
        f'<line class="divider" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top - 12:.1f}" y2="{frame.base:.1f}"/>',
        f'<text class="axis" x="{x + 6:.1f}" y="{frame.top - 6:.1f}">{escape(name)}</text>',
    ]


def _legend(named: Sequence[Series], width: float) -> list[list[tuple[float, Series]]]:
    """Return the lines of a legend, each with the series in it and their places."""
    lines: list[list[tuple[float, Series]]] = []
    x = width
    # Of several lines with one name, the legend has the first. A single name is that of the axis.
    first: dict[str, Series] = {}
    for line in named:
        first.setdefault(line.name, line)
    for line in first.values() if len(first) > 1 else ():
        needed = 50 + LEGEND_CHARACTER_WIDTH * len(line.name)
        if x + needed > width:
            lines.append([])
            x = 0.0
        lines[-1].append((LEFT + x, line))
        x += needed
    return lines


def _legend_line(entries: Sequence[tuple[float, Series]], y: float) -> list[str]:
    parts = []
    for x, line in entries:
        colour, dashed = f"c{line.colour % COLOURS}", " dashed" if line.dashed else ""
        parts.append(f'<g class="{colour}">')
        if line.joined:
            parts.append(f'<path class="line{dashed}" d="M{x:.1f} {y - 4:.1f}h24"/>')
        if line.dots:
            parts.append(f'<circle{_mark(line)} cx="{x + 12:.1f}" cy="{y - 4:.1f}" r="4"/>')
        parts.append(f'<text class="name" x="{x + 30:.1f}" y="{y:.1f}">{escape(line.name)}</text></g>')
    return parts


def _mark(line: Series) -> str:
    return "" if line.joined else ' class="hollow"'


def _offset(line: Series, named: Sequence[Series]) -> float:
    """Return the horizontal offset of a series, so that the intervals of several do not cover each other."""
    colours = list(dict.fromkeys(each.colour for each in named if each.dots))
    if not line.dots or not any(point.high > point.low for each in named for point in each.points):
        return 0.0
    return 6.0 * (colours.index(line.colour) - (len(colours) - 1) / 2)


def _faint_line(frame: _Frame, line: Series) -> str:
    path = " ".join(f"{frame.x(point.x):.1f},{frame.y(point.y):.1f}" for point in line.points)
    title = f"<title>{escape(line.name)}</title>"
    return f'<polyline class="line faint c{line.colour % COLOURS}" points="{path}">{title}</polyline>'


def _line(frame: _Frame, line: Series, offset: float) -> list[str]:
    colour = f"c{line.colour % COLOURS}"
    path = " ".join(f"{frame.x(point.x) + offset:.1f},{frame.y(point.y):.1f}" for point in line.points)
    dashed = " dashed" if line.dashed else ""
    parts = [f'<polyline class="line{dashed} {colour}" points="{path}"/>'] if line.joined else []
    for point in line.points if line.dots or len(line.points) == 1 else ():
        x, low, high = frame.x(point.x) + offset, frame.y(point.low), frame.y(point.high)
        parts.append(f'<g class="point {colour}"><title>{escape(point.note)}</title>')
        if point.high > point.low:
            caps = f"M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"
            parts.append(f'<path class="interval" d="M{x:.1f} {low:.1f}V{high:.1f}{caps}"/>')
        parts.append(f'<circle{_mark(line)} cx="{x:.1f}" cy="{frame.y(point.y):.1f}" r="4"/></g>')
    return parts


def _end_labels(frame: _Frame, named: Sequence[Series]) -> list[str]:
    """Return the names of the series beside their last points, moved apart where they would overlap."""
    ordered = sorted(named, key=lambda line: frame.y(line.points[-1].y))
    places: list[float] = []
    for line in ordered:
        wanted = frame.y(line.points[-1].y)
        places.append(max(wanted, places[-1] + LABEL_GAP) if places else wanted)
    overhang = max(0.0, places[-1] - frame.base)
    return [
        f'<text class="name c{line.colour % COLOURS}" x="{frame.right + 4:.1f}" y="{place - overhang + 4:.1f}">'
        f"{escape(_shortened(line.name))}</text>"
        for line, place in zip(ordered, places, strict=True)
    ]
