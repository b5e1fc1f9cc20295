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


def test_long_labels_of_the_x_axis_are_slanted_and_stay_inside():
    axis = fit_axis("success", [], percent=True)
    lines = [series(*([0.5] * 12))]
    labels = [f"shuffled_{'x' * 20}_{n}" for n in range(12)]
    svg = chart(lines, axis, labels=labels)
    height = float(re.search(r'viewBox="0 0 720 (\d+)"', svg)[1])
    slanted = re.findall(r'translate\(([\d.]+) ([\d.]+)\) rotate\(-32\)">([^<]*)<', svg)
    assert len(slanted) == 12
    assert all(len(label) <= 26 and "…" in label for _, _, label in slanted)
    assert all(float(y) + 26 * 7.6 * 0.53 < height for _, y, _ in slanted)
    assert "rotate(-32)" not in chart([series(0.5, 0.5)], axis, labels=("none", "p25"))


def test_a_legend_names_each_line_once_and_wraps():
    axis = fit_axis("success", [], percent=True)
    lines = [series(0.5, 0.5, name=f"a long name of a line {n}") for n in range(4)]
    svg = line_chart(
        [*lines, series(0.2, name=lines[0].name, joined=False)],
        x_labels=("a", "b"),
        x_title="",
        axis=axis,
        summary="",
        has_legend=True,
    )
    names = re.findall(r'<text class="name" x="([\d.]+)" y="([\d.]+)">([^<]*)<', svg)
    assert [name for _, _, name in names] == [line.name for line in lines]
    assert len({y for _, y, _ in names}) > 1
    assert all(float(x) + 9.2 * len(name) < 720 for x, _, name in names)
    assert svg.count('class="hollow"') == 1


@pytest.mark.parametrize("value", [0.0, 2.0, -2.0])
def test_an_axis_of_equal_values_contains_zero_where_it_is_near(value):
    axis = fit_axis("nats", [series(value, value)], percent=False)
    assert axis.low <= value <= axis.high
    assert axis.low < axis.high


def test_a_chart_of_very_many_lines_has_no_names_and_only_some_labels():
    lines = [series(*([0.5] * 90), name=f"trial {n}") for n in range(30)]
    svg = chart(lines, fit_axis("", [], percent=True), labels=[f"trial {n}" for n in range(90)])
    assert 'class="name' not in svg
    places = [float(x) for x in re.findall(r'translate\(([\d.]+) [\d.]+\) rotate\(-32\)"', svg)]
    assert len(places) < 90
    assert min(b - a for a, b in itertools.pairwise(places)) >= 13
