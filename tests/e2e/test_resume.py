"""A run that is killed at any moment and resumed ends with the same files as an uninterrupted one."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.toy import toy_leap

WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
"""Audit events just before a change to a file."""


def contents(run_dir: Path) -> dict[str, bytes]:
    """All files of a run except those with times, and its results card without the seconds."""
    return {
        str(path.relative_to(run_dir)): without_seconds(path) if path.name == "card.json" else path.read_bytes()
        for path in sorted(run_dir.rglob("*"))
        if path.is_file() and path.name not in ("timings.jsonl", "card.md") and not path.name.endswith(".lock")
    }


def without_seconds(card_file: Path) -> bytes:
    """A results card without the seconds that its runs took."""
    card = json.loads(card_file.read_text())
    for figures in (card["cost"], card["cost"]["gained_per"]):
        del figures["core_seconds"], figures["gpu_seconds"]
    return json.dumps(card).encode()


def in_child(action) -> int:
    """Run ``action`` in a forked process and return its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def killed_at(run_dir: Path, moment: int):
    """Return a run of the toy experiment that kills itself just before its ``moment``-th change to a file."""

    def act() -> None:
        seen = 0

        def kill(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in WATCHED and str(run_dir) in str(arguments[0]):
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        toy_leap(run_dir, rounds=1).run()

    return act


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    run_dir = tmp_path_factory.mktemp("whole")
    toy_leap(run_dir, rounds=1).run()
    return contents(run_dir)


def test_killed_before_any_change_to_a_file_a_run_resumes_to_the_same_end(tmp_path, whole):
    moments = 0
    while True:
        moments += 1
        run_dir = tmp_path / str(moments)
        run_dir.mkdir()
        status = in_child(killed_at(run_dir, moments))
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        toy_leap(run_dir, rounds=1).run()
        assert contents(run_dir) == whole, f"killed at moment {moments}"
    assert moments > 60


def test_killed_repeatedly_a_run_resumes_to_the_same_end(tmp_path, whole):
    kills = 0
    while in_child(killed_at(tmp_path, 12 + 6 * kills)) != 0:
        kills += 1
        assert kills < 100
    assert kills > 3
    assert contents(tmp_path) == whole


def test_finished_stages_are_not_repeated(tmp_path, monkeypatch):
    from tests.support import toy

    leap = toy_leap(tmp_path, rounds=1)
    leap.run()

    def must_not(*arguments, **keywords):
        raise AssertionError("done already")

    for cls, method in [
        (toy.ToyStudent, "act"),
        (toy.ToyStudent, "logprobs"),
        (toy.ToyTeacher, "correct"),
        (toy.ToyTrainer, "fit"),
    ]:
        monkeypatch.setattr(cls, method, must_not)
    toy_leap(tmp_path, rounds=1).run()
