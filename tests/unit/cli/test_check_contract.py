"""``leap check contract``: what breaks an environment's contract, by the command line."""

import pytest

from leap_exp.cli.main import main
from leap_exp.envs.alfworld.environment import AlfworldEnvironment


def check(*arguments):
    """The exit status of ``leap check contract``."""
    with pytest.raises(SystemExit) as leaving:
        main(["check", "contract", *arguments])
    return leaving.value.code


def test_an_environment_that_keeps_the_contract(capsys):
    assert check("alfworld", "household=small", "--tasks", "1") == 0
    assert capsys.readouterr().out == "alfworld keeps the contract in 1 tasks of train.\n"


def test_violations_are_listed(capsys, monkeypatch):
    monkeypatch.setattr(AlfworldEnvironment, "name", "")
    assert check("alfworld", "--tasks", "1") == 1
    assert capsys.readouterr().out == "the environment has no name\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chess"], "There is no environment 'chess'; choose one of: alfworld"),
        (["alfworld", "small"], "'small' is not a setting: write SETTING=VALUE."),
        (["alfworld", "rooms=4"], "alfworld cannot be made with rooms=4"),
        (["alfworld", "household=huge"], "env.household=huge is not valid"),
        (["alfworld", "--split", "late"], "late"),
    ],
)
def test_mistakes_are_named(capsys, arguments, message):
    assert check(*arguments) == 1
    assert message in capsys.readouterr().err
