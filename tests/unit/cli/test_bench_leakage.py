"""``bench leakage`` on one environment."""

import json

from leap_exp.cli.bench import main


def test_only_above_p50_corrections_leak(capsys):
    assert main(["leakage", "--env", "alfworld", "--tasks", "3"]) == 0
    shares = json.loads(capsys.readouterr().out.splitlines()[-1])["alfworld"]
    for kind in ("of_random", "acting"):
        assert shares["none"][kind] == shares["p25"][kind] == shares["p50"][kind] == 0.0
        assert 0.0 <= shares["p75"][kind] < shares["p100"][kind] <= 1.0
