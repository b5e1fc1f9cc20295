"""What the tests of the packages in plugins/ share."""

import importlib.util
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"

INSTALL = "`make test-plugins` installs it in an environment of its own and runs these tests there"


def require(*modules: str) -> None:
    """Skip the tests of a module if one of ``modules`` is not installed."""
    if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{missing[0]} is not installed: {INSTALL}", allow_module_level=True)
