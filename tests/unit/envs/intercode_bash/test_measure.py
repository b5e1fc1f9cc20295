import json

from leap_exp import bench


def test_bench_times_episodes_that_are_open_side_by_side(engine, capsys):
    engine()
    assert bench.main(["intercode_bash", "--episodes", "6", "--at-a-time", "3"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["episodes"], figures["sandbox"]) == (6, "bubblewrap")
    assert min(figures["open_milliseconds"], figures["step_milliseconds"]) > 0
