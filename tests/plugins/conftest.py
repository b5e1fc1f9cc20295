"""What the tests of the packages in plugins/ share."""

import importlib.util
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"

INSTALL = "run `make interfaces`, then .venv-interfaces/bin/python -m pytest tests/plugins"


def require(*modules: str) -> None:
    """Skip the tests of a module if one of ``modules`` is not installed."""
    if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        pytest.skip(f"{missing[0]} is not installed: {INSTALL}", allow_module_level=True)


@pytest.fixture(scope="session")
def program():
    """Returns the path of a command of the packages that are installed beside Python."""
    return lambda name: str(Path(sys.executable).parent / name)
