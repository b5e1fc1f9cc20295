"""One round with the tiny student on every environment, by the command line."""

import json

import pytest

from leap_exp.config.registry import members
from tests.e2e.test_command_line import leap  # noqa: F401 - a fixture
from tests.support.sandboxes import sandbox_settings


@pytest.mark.parametrize("name", members("env"))
def test_a_round_on_every_environment(name, leap, tmp_path):  # noqa: F811 - the fixture
    code, out, _ = leap(f"env={name}", *sandbox_settings(name), "debug=default", "tracker=jsonl", "run_dir=here")
    assert code == 0
    assert "0 (cloning)" in out
    assert ("  webshop " in out) == (name == "joint")
    rounds = json.loads((tmp_path / "here" / "summary.json").read_text())["rounds"]
    panel = 6 if name == "joint" else 2
    assert [entry["n"] for entry in rounds] == [panel, panel]
    assert [entry["unscored"] for entry in rounds] == [0, 0]
    assert (tmp_path / "here" / "round_001" / "corrections.jsonl").exists()
