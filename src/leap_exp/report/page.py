"""Self-contained HTML pages: templates, tables, number formats and embedded data."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from leap_exp.runs import write_whole

MISSING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Named rows of formatted cells."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart, and its values as a table for those who cannot see it."""

    svg: str
    title: str
    table: Table
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What a cell of a sortable table shows, and the number that it is sorted by; None comes last."""

    text: str
    value: float | None
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SortableTable:
    """Named rows of cells; ``columns`` are the headings over them."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def write_page(path: Path, template: str, context: Mapping[str, object]) -> None:
    """Render ``template`` with ``context`` to ``path`` atomically."""
    write_whole(path, [_environment().get_template(template).render(context)])


def embed(data: object) -> Markup:
    """Return ``data`` as JSON for a script element; nothing in it can end the element or start another."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - all characters special in HTML are escaped


def percent(value: float | None) -> str:
    """Format a share in per cent with one decimal."""
    return MISSING if value is None else f"{100 * value:.1f} %"


def spread(low: float, high: float, form: Callable[[float], str]) -> str:
    """Format an interval."""
    return f"{form(low)} to {form(high)}"


def points(value: float) -> str:
    """Format a difference of shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def numbers(values: Sequence[float | None]) -> list[str]:
    """Format the quantities of a table row with the same number of decimals, none if all are whole."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if all(value == int(value) for value in known):
        form = ",.0f"
    else:
        largest = max(map(abs, known))
        form = ",.1f" if largest >= 100 else ".3f" if largest >= 0.01 else ".1e"
    return [
        MISSING if value is None or math.isnan(value) else format(value, form).replace("-", "\N{MINUS SIGN}")
        for value in values
    ]


def p_value(value: float) -> str:
    """Format a p-value as papers do."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leap_exp.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "p_value": p_value}
    folder = files("leap_exp.report").joinpath("templates")
    environment.globals["asset"] = lambda name: Markup(folder.joinpath(name).read_text(encoding="utf-8"))  # noqa: S704
    return environment
