"""What needs the training stack says so in one line where it is not installed."""

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.core.extras import training_extra_named


def test_a_missing_package_for_training_is_explained():
    with (
        pytest.raises(ConfigError, match=r'peft is not installed: pip install "leap-exp\[train\]"'),
        training_extra_named(),
    ):
        raise ModuleNotFoundError("No module named 'peft.tuners'", name="peft.tuners")


def test_other_missing_packages_are_left_alone():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), training_extra_named():
        import no_such_package  # noqa: F401
