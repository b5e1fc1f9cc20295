"""What InterCode-Bash adds to the command lines."""

import json

import pytest

from leap_exp.core.errors import ConfigError
from leap_exp.envs.intercode_bash.commands import DATASETS, bench, check


def test_check_needs_one_thing_to_check(tmp_path):
    with pytest.raises(ConfigError, match="--runs, --orphans and --golds"):
        check()
    with pytest.raises(ConfigError, match="--runs, --orphans and --golds"):
        check(runs=tmp_path, orphans=1)


def test_bench_times_sandboxes(engine):
    engine()
    figures = json.loads(json.dumps(bench(episodes=6, at_a_time=3)))
    assert (figures["episodes"], figures["sandbox"], figures["base"]) == (6, "bubblewrap", "host")
    assert min(figures["open_milliseconds"], figures["step_milliseconds"]) > 0


def test_data_sets_have_a_place_to_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAP_DATA", str(tmp_path))
    folders = {name: dataset.folder(None) for name, dataset in DATASETS.items()}
    assert folders == {
        "intercode": tmp_path / "intercode" / "tasks",
        "intercode_alfa": tmp_path / "intercode" / "alfa",
        "intercode_rootfs": tmp_path / "intercode" / "rootfs",
    }
