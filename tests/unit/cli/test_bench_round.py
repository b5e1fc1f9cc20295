"""leap bench round: a round's seconds follow from the figures of acting and training that are printed with them."""

import json

import pytest

from leap_exp.cli import bench


def test_the_seconds_of_a_round_are_those_of_its_parts(capsys):
    options = ["--device", "cpu", "--shape", "tiny", "--dtype", "float32", "--rollouts", "10", "--evaluations", "5"]
    assert bench.main(["round", *options, "--episodes", "2", "--steps", "2", "--seconds", "6"]) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    acting, training = result["acting"], result["training"]
    for way, engine, trainer in (("ours", "engine", "ours"), ("authors", "one_at_a_time", "authors")):
        for mode in ("", "_choosing"):
            played = 60 * 15 / acting[engine][f"episodes_per_minute{mode}"]
            trained = 10 * training[trainer]["seconds_per_trajectory"]
            assert result[f"seconds{mode}"][way]["round"] == pytest.approx(played + trained, abs=0.2)
    assert result["ratio"] == pytest.approx(
        result["seconds"]["authors"]["round"] / result["seconds"]["ours"]["round"], rel=0.05
    )
