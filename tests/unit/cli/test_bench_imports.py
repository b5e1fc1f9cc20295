"""Importing an environment is quick, takes little memory, and loads nothing for training."""

import pytest

from leap_exp.cli.bench_imports import importable_modules, measure_import
from leap_exp.core.errors import EnvError

MEGABYTES = 80
SECONDS = 0.5
BUSY = 2
"""How much more of a processor's time it may take beside other work."""


@pytest.mark.parametrize("module", importable_modules())
def test_an_import_is_light(module):
    result = measure_import(module, repeats=3)
    assert result["training"] == []
    assert result["megabytes"] < MEGABYTES
    assert result["cpu_seconds"] < SECONDS * BUSY


def test_the_measure_sees_training_packages():
    assert "openai" in measure_import("openai", repeats=1)["training"]


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(EnvError, match=r"leap_exp\.none cannot be imported: ModuleNotFoundError"):
        measure_import("leap_exp.none", repeats=1)
