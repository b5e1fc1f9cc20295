"""Jinja templates of prompts: plain text in which every variable must be given."""

from functools import cache

import jinja2

LONGEST_TEXT = 2000
"""Maximum characters of an observation, reason or action shown to a teacher."""


@cache
def templates(package: str) -> jinja2.Environment:
    """Return the templates in the folder ``templates`` of ``package``."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = shortened
    return environment


def render(package: str, name: str, **values: object) -> str:
    """Render the template ``name`` of ``package``, without surrounding whitespace."""
    return templates(package).get_template(name).render(**values).strip()


def shortened(text: str) -> str:
    """Return ``text``, with the middle left out if it is longer than ``LONGEST_TEXT``."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
