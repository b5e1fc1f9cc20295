"""The text game in the terminal, with a player who types."""

import subprocess
import sys

import pytest

from leap_exp.envs.alfworld import AlfworldEnvironment
from leap_exp.play.__main__ import main


def plan(index):
    environment = AlfworldEnvironment()
    return environment.privileged(environment.tasks("valid_unseen")[index]).data["plan"]


@pytest.fixture
def types(monkeypatch):
    """Let a player type lines; then the input ends, or is interrupted."""

    def type_lines(*lines, end=EOFError):
        left = iter(lines)

        def read(prompt):
            print(prompt, end="")
            try:
                return next(left)
            except StopIteration:
                raise end from None

        monkeypatch.setattr("builtins.input", read)

    return type_lines


def test_a_game_played_by_its_plan_is_won(types, capsys):
    commands = plan(3)
    types("?", "", *commands, "look")
    assert main(["alfworld", "--game", "3"]) == 0
    shown = capsys.readouterr().out
    assert "Your task is to: " in shown
    assert "\nlook\n" in shown, "the list of commands was asked for"
    assert shown.endswith(f"\nDone after {len(commands)} commands, with a score of 1.\n")


def test_what_cannot_be_done_is_answered_as_the_game_does(types, capsys):
    types("dance", "quit", "look")
    assert main(["alfworld"]) == 0
    shown = capsys.readouterr().out
    assert "Nothing happens." in shown
    assert shown.count("> ") == 2


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_a_player_can_leave_at_any_time(types, capsys, end):
    types("look", end=end)
    assert main(["alfworld"]) == 0
    assert capsys.readouterr().out.endswith("> \n")


@pytest.mark.parametrize("number", ["-1", "120"])
def test_a_game_that_is_not_there_is_one_clear_error(number, capsys):
    assert main(["alfworld", f"--game={number}"]) == 1
    assert capsys.readouterr().err == (f"There is no game {number} in valid_unseen: give a number from 0 to 119.\n")


def test_input_from_a_pipe_is_played():
    command = [sys.executable, "-m", "leap_exp.play", "alfworld", "--game", "3"]
    played = subprocess.run(command, input="\n".join(plan(3)), capture_output=True, text=True, timeout=120, check=True)
    assert played.stdout.endswith("with a score of 1.\n")
    assert played.stderr == ""
