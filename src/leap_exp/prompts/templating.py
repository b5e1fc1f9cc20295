"""The templates of prompts: plain text, and every name in them must be given."""

from functools import cache

import jinja2

LONGEST_TEXT = 2000
"""Characters of an observation, a reason or an action that a teacher is shown."""


@cache
def templates() -> jinja2.Environment:
    """The environment that loads and renders the templates."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leap_exp.prompts", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  prompts are plain text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = shortened
    return environment


def render(name: str, **values: object) -> str:
    """The template ``name`` with ``values``, without blanks around it."""
    return templates().get_template(name).render(**values).strip()


def shortened(text: str) -> str:
    """``text``; of one longer than ``LONGEST_TEXT`` the two ends, with a note of how much is left out between them."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
