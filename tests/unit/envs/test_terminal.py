"""A text game in the terminal, with simulated typing."""

import subprocess
import sys

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.envs.alfworld.commands import play
from leap_exp.envs.alfworld.config import AlfworldConfig


def plan(index):
    environment = AlfworldConfig().build()
    return environment.privileged(environment.tasks("valid_unseen")[index]).data["plan"]


@pytest.fixture
def types(monkeypatch):
    """Simulate a player who types lines, after which the input ends or is interrupted."""

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
    play(game=3)
    shown = capsys.readouterr().out
    assert "Your task is to: " in shown
    assert "\nlook\n" in shown, "? lists the commands"
    assert shown.endswith(f"\nDone after {len(commands)} commands, with a score of 1.\n")


def test_the_game_answers_inadmissible_commands(types, capsys):
    types("dance", "quit", "look")
    play()
    shown = capsys.readouterr().out
    assert "Nothing happens." in shown
    assert shown.count("> ") == 2


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_a_player_can_leave_at_any_time(types, capsys, end):
    types("look", end=end)
    play()
    assert capsys.readouterr().out.endswith("> \n")


@pytest.mark.parametrize("number", [-1, 120])
def test_error_for_a_game_number_out_of_range(number):
    with pytest.raises(ConfigError, match=f"There is no game {number} in valid_unseen: .* from 0 to 119"):
        play(game=number)


def test_input_from_a_pipe_is_played():
    command = [sys.executable, "-c", "from leap_exp.envs.alfworld.commands import play; play(game=3)"]
    played = subprocess.run(command, input="\n".join(plan(3)), capture_output=True, text=True, timeout=120, check=True)
    assert played.stdout.endswith("with a score of 1.\n")
    assert played.stderr == ""
