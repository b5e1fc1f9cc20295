"""The diagram in docs/architecture.md shows the imports between packages as they are."""

import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

COMMAND_MODULES = {"__main__", "bench", "check", "data", "play"}
"""The ``python -m leap_exp`` forms, which pass on to the package cli and are not drawn."""

Arrows = set[tuple[str, str]]


def drawn(arrow: str) -> Arrows:
    """Return the arrows of one style in the diagram, as pairs of package names."""
    (diagram,) = re.findall(r"```mermaid\nflowchart.*?```", PAGE, flags=re.DOTALL)
    found = re.findall(rf"^ *([\w &]+?) *{re.escape(arrow)} *([\w &]+?) *$", diagram, flags=re.MULTILINE)
    return {(start, end) for starts, ends in found for start in starts.split(" & ") for end in ends.split(" & ")}


def imports() -> Arrows:
    """Return which package of leap_exp imports which other one."""
    graph = grimp.build_graph("leap_exp", cache_dir=None)
    found = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            start, end = (f"{module}.".split(".")[1] for module in (importer, imported))
            if start != end and end and start not in COMMAND_MODULES and importer != "leap_exp.report.__main__":
                found.add((start, end))
    return found


def with_detours(arrows: Arrows) -> Arrows:
    """Return all pairs that are connected by a path of arrows."""
    reached: dict[str, set[str]] = {}
    following: dict[str, set[str]] = {}
    for start, end in arrows:
        following.setdefault(start, set()).add(end)
    for package in TopologicalSorter(following).static_order():
        ends = following.get(package, set())
        reached[package] = ends.union(*(reached[end] for end in ends))
    return {(start, end) for start, ends in reached.items() for end in ends}


def test_every_arrow_of_the_diagram_is_an_import():
    assert drawn("-->") - imports() == set()


def test_every_import_between_packages_follows_the_arrows():
    assert imports() - with_detours(drawn("-->")) == set()


def test_the_diagram_has_no_arrow_that_a_detour_replaces():
    arrows = drawn("-->")
    assert [arrow for arrow in arrows if arrow in with_detours(arrows - {arrow})] == []


def test_dotted_arrows_lead_to_the_packages_with_components():
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    packages = {value.split(".")[1] for group in entry_points.values() for value in group.values()}
    assert drawn("-.->") == {("config", package) for package in packages}


def test_every_package_is_in_the_diagram_and_described():
    tree = ROOT / "src" / "leap_exp"
    packages = {path.parent.name for path in tree.glob("*/__init__.py")} | {"loop"}
    arrows = drawn("-->")
    assert {package for arrow in arrows for package in arrow} == packages
    assert [package for package in packages if f"| `{package}" not in PAGE] == []


@pytest.mark.parametrize("module", sorted(COMMAND_MODULES))
def test_modules_that_are_not_drawn_only_pass_on_to_the_command_line(module):
    graph = grimp.build_graph("leap_exp", cache_dir=None)
    assert graph.find_modules_directly_imported_by(f"leap_exp.{module}") == {"leap_exp.cli.main"}
