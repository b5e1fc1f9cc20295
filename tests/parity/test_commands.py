"""The commands that compare ALFWorld's engines."""

import json
import sys

import pytest

from leap_exp.cli import bench, check
from leap_exp.envs.alfworld.builtin import generate_game

pytest.importorskip("textworld", reason="the reference engine needs the extra alfworld")


@pytest.fixture
def games(tmp_path):
    for index in range(2):
        folder = tmp_path / "train" / f"trial_{index}"
        folder.mkdir(parents=True)
        (folder / "game.tw-pddl").write_text(generate_game("train", index, seed=0, household="small"))
    return tmp_path


def test_check_counts_differences(games, capsys):
    assert check.main(["alfworld", "--games", str(games), "--steps", "6"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 differences in 2 games")


def test_check_names_a_missing_folder(tmp_path, capsys):
    assert check.main(["alfworld", "--games", str(tmp_path / "none")]) == 1
    assert str(tmp_path / "none") in capsys.readouterr().err


def test_check_names_a_broken_game(games, capsys):
    (games / "train" / "trial_1" / "game.tw-pddl").write_text("{}")
    assert check.main(["alfworld", "--games", str(games), "--steps", "2"]) == 1
    output = capsys.readouterr().out
    assert "train/trial_1" in output
    assert "1 differences in 2 games" in output


def test_without_the_reference_engine_the_error_says_what_to_install(games, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "textworld.envs.pddl", None)
    assert check.main(["alfworld", "--games", str(games)]) == 1
    assert "pip install 'leap-exp[alfworld]'" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_meets_its_targets(capsys):
    assert bench.main(["alfworld", "--seconds", "20"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["steps_per_second_ratio"] >= 800
    assert figures["open_ratio"] >= 400
