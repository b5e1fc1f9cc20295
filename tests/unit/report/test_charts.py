"""Charts: values are drawn where the axis says."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from leap_exp.report.charts import Axis, Point, Series, fit_axis, line_chart, standalone


def series(*values, name="a<b>", spread=0.0, **options):
    points = tuple(Point(x=x, y=y, low=y - spread, high=y + spread, note=f"{y}") for x, y in enumerate(values))
    return Series(name=name, colour=0, points=points, **options)


def chart(lines, axis, labels=("BC", "1", "2")):
    return line_chart(lines, x_labels=labels, x_title="round", axis=axis, summary="A chart")


def test_points_are_at_the_height_of_their_values():
    svg = chart([series(0.0, 0.5, 1.0)], fit_axis("success", [], percent=True))
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', svg)]
    grid = [float(y) for y in re.findall(r'class="grid".*?y1="([\d.]+)"', svg)]
    assert heights[0] == max(grid)
    assert heights[2] == min(grid)
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.1, 0.0), (0.0, 0.0007), (120, 4800), (-0.3, 0.4)])
def test_axes_have_a_readable_number_of_ticks(low, high):
    ticks = Axis(title="", low=low, high=high, percent=False).ticks()
    assert 3 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_fitted_axis_contains_intervals_and_equal_values():
    axis = fit_axis("nats", [series(-2.0, -1.0, spread=0.5)], percent=False)
    assert axis.low < -2.5
    assert axis.high == 0.0
    flat = fit_axis("nats", [series(3.0, 3.0)], percent=False)
    assert flat.low < 3.0 < flat.high


def test_names_at_the_ends_of_lines_do_not_overlap():
    svg = chart([series(0.5, 0.5, name=f"p{n}") for n in range(5)], fit_axis("", [], percent=True))
    heights = sorted(float(y) for y in re.findall(r'class="name c0" x="[\d.]+" y="([\d.]+)"', svg))
    assert len(heights) == 5
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 14


def test_a_single_round_and_hostile_names_make_a_valid_file():
    axis = fit_axis("success", [], percent=True)
    svg = standalone(chart([series(0.4, spread=0.1), series(0.2, name="&")], axis, labels=("<policy>",)))
    assert ET.fromstring(svg).tag.endswith("svg")
