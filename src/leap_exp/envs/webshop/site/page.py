"""The HTML pages of the shop's web site, in the design of the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup

from leap_exp.envs.webshop.engine import pages
from leap_exp.envs.webshop.engine.pages import Role
from leap_exp.envs.webshop.engine.shop import PageKind, Session, Shop
from leap_exp.envs.webshop.site.verdict import judge
from leap_exp.envs.webshop.site.visits import Visit

_STYLES = (("leap_exp.report", "page.css"), ("leap_exp.envs.webshop.site", "shop.css"))


def start_page(shop: Shop, *, name: str, goal: int) -> str:
    """Return the start page, where a goal is chosen.

    Args:
        shop: The shop.
        name: The name of its catalogue.
        goal: The proposed goal.
    """
    about = f"Catalogue {name}: {len(shop.catalogue):,} products, {len(shop.goals):,} goals"
    return _render("start.html.j2", about=about, goal=goal, last=len(shop.goals) - 1)


def problem_page(message: str) -> str:
    """Return a page with an error message and a link to the start page."""
    return _render("problem.html.j2", message=message)


def visit_page(shop: Shop, visit: Visit) -> str:
    """Return the current page of a visit, or the verdict after the purchase."""
    with visit.lock:
        session = visit.session
        if session.done:
            next_goal = (visit.goal_index + 1) % len(shop.goals)
            return _render("done.html.j2", visit=visit, verdict=judge(shop, session), next_goal=next_goal)
        return _render(
            "visit.html.j2",
            visit=visit,
            page_kind=session.page_kind.name,
            clickables=session.available.clickables,
            buttons=pages,
            texts=_texts(session),
            results=_results(shop, session),
            options=_options(session),
        )


def _texts(session: Session) -> Sequence[str]:
    """Return the texts of the page below the instruction."""
    return [text for role, text in session.page.pieces[2:] if role is Role.TEXT]


def _results(shop: Shop, session: Session) -> Sequence[tuple[str, str, str]]:
    """Return the click target, name and price of each product on a page of results."""
    products = {target: shop.catalogue.product(row) for target, row in session.results.items()}
    return [(target, product.name, product.price_tag) for target, product in products.items()]


def _options(session: Session) -> Mapping[str, Sequence[tuple[str, bool]]]:
    """Return the values of each option of the product, each with whether it is selected."""
    if session.page_kind is not PageKind.ITEM or session.product is None:
        return {}
    return {
        name: [(value, session.selected.get(name) == value) for value in values]
        for name, values in session.product.options.items()
    }


def _render(template: str, **context: object) -> str:
    return _environment().get_template(template).render(context)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("leap_exp.envs.webshop.site"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = [files(package).joinpath("templates", name).read_text(encoding="utf-8") for package, name in _STYLES]
    environment.globals["style"] = Markup("\n".join(styles))  # noqa: S704 - style sheets of this package
    return environment
