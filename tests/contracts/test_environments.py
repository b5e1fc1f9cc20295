"""Every registered environment, in each of its variants, keeps the contract."""

import importlib.util
from collections.abc import Mapping

import pytest

from leap_exp.config.registry import settings_classes
from leap_exp.envs.contract import contract_violations
from tests.support.sandboxes import skip_without_sandboxes

VARIANTS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "alfworld": ({}, {"household": "full"}, {"engine": "textworld"}),
    "intercode_bash": ({"sandbox": "bubblewrap"}, {"sandbox": "bubblewrap", "quoting": "exact"}),
    "webshop": ({}, {"goals": "synthetic"}, {"observation": "text_rich"}, {"item_names": False}),
}
"""Settings, beside the defaults, that an environment is checked with."""

HELD_OUT = {"intercode_bash": "test", "webshop": "test"}
"""The split to check, where it is not "valid_unseen"."""

CASES = [(name, settings) for name in settings_classes("env") for settings in VARIANTS.get(name, ({},))]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_environment_keeps_the_contract(name, settings):
    if settings.get("engine") == "textworld" and importlib.util.find_spec("textworld") is None:
        pytest.skip("alfworld is not installed")
    if name == "intercode_bash":
        skip_without_sandboxes()
    # A step of the reference takes a tenth of a second and more.
    effort = {"tasks": 1, "steps": 3, "oracle_steps": 30} if "engine" in settings else {"tasks": 6}
    environment = settings_classes("env")[name](**settings).build()
    assert contract_violations(environment, HELD_OUT.get(name, "valid_unseen"), **effort) == []
