"""leap bench engine: the same work in every way, and figures that compare them."""

import json

import pytest

from leap_exp.cli import bench


def run(capsys, *options):
    status = bench.main(["engine", "--device", "cpu", "--shape", "tiny", "--dtype", "float32", *options])
    return status, capsys.readouterr()


def test_all_ways_give_the_same_answers_and_the_last_line_has_their_ratios(capsys):
    status, printed = run(capsys, "--episodes", "3", "--steps", "2", "--opening", "30", "--turn", "9", "--answer", "6")
    assert status == 0
    result = json.loads(printed.out.strip().splitlines()[-1])
    assert (result["episodes"], result["steps"]) == (3, 2)
    assert result["one_at_a_time"]["same_answers_share"] == 1.0
    for name in ("one_at_a_time", "one_at_a_time_choosing", "transformers_batched"):
        assert result[f"{name}_ratio"] > 0
    assert result["engine"]["writing_tokens_per_second"] > 0


def test_a_time_limit_ends_the_episodes_early_for_all(capsys):
    _, printed = run(capsys, "--episodes", "2", "--steps", "50", "--opening", "30", "--seconds", "0")
    assert json.loads(printed.out.strip().splitlines()[-1])["steps"] == 1


@pytest.mark.parametrize("option", [("--shape", "huge")])
def test_an_unknown_shape_is_refused(capsys, option):
    status, printed = run(capsys, *option)
    assert status == 1
    assert "--shape=huge is not valid; choose one of: tiny, 135m, 8b" in printed.err
