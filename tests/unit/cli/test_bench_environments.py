"""leap bench environments: every way steps, and the last line compares with the originals."""

import json

import pytest

from leap_exp.cli import bench
from leap_exp.envs.alfworld import commands as alfworld_commands

QUICK = ("--workers", "2", "--seconds", "0.1")


def run(capsys, *options):
    status = bench.main(["environments", *options])
    return status, capsys.readouterr()


def test_every_way_steps_and_the_original_is_in_the_last_line(capsys):
    status, printed = run(capsys, "--env", "webshop", "--at-a-time", "4", *QUICK)
    assert status == 0
    result = json.loads(printed.out.strip().splitlines()[-1])
    figures = result["webshop"]
    assert set(figures) == {"in_turn_4", "threads_4", "asyncio_4", "processes_4", "kib_per_episode"}
    for way in ("in_turn_4", "threads_4", "asyncio_4", "processes_4"):
        assert min(figures[way].values()) > 0, way
    assert result["webshop_original"] == {"recorded": True, "steps_per_second": 57}
    assert result["webshop_steps_per_second_ratio"] > 1


def test_an_original_that_is_installed_is_measured_with_the_same_settings(capsys, monkeypatch):
    monkeypatch.setattr(alfworld_commands, "ORIGINAL_SETTINGS", {"engine": "fast"})
    options = ("--env", "alfworld", "--set", "alfworld.household=full", "--at-a-time", "1", "--way", "in_turn")
    status, printed = run(capsys, *options, *QUICK)
    assert status == 0
    result = json.loads(printed.out.strip().splitlines()[-1])
    assert set(result["alfworld"]) == {"in_turn_1", "kib_per_episode"}
    assert result["alfworld_original"]["steps_per_core_second"] > 0
    assert result["alfworld_steps_per_core_second_ratio"] > 0
    assert "{'household': 'full', 'engine': 'fast'}" in printed.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--env", "atari"), "There is no environment atari"),
        (("--set", "alfworld.games"), "--set alfworld.games is not valid: give one of alfworld."),
        (("--set", "alfworld.gamez=x"), "alfworld.games"),
        (("--set", "atari.games=x"), "give one of alfworld.NAME"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(capsys, option, message):
    status, printed = run(capsys, *option)
    assert status == 1
    assert message in printed.err
