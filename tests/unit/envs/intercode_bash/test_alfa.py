"""The corrected requests: read from files in their published form; the better of two gold commands counts."""

import json
import shutil
import zipfile

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.datasets import ignore_progress
from leap_exp.envs.intercode_bash import InterCodeBashEnvironment
from leap_exp.envs.intercode_bash.commands import check
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.intercode_bash.engine.install import AlfaData
from leap_exp.envs.intercode_bash.engine.queries import alfa_folder, read_official
from tests.support.sandboxes import skip_without_sandboxes

DATA = AlfaData()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The files of the package as it is published, with one request per file system."""
    monkeypatch.setenv("LEAP_DATA", str(tmp_path / "data"))
    assets = tmp_path / "icalfa" / "assets"
    for folder in ("datasets", "docker"):
        (assets / folder).mkdir(parents=True)
    for number in range(1, 6):
        entry = {
            "query": f"Show note {number}.",
            "gold": f"cat /desk{number}/note.txt",
            "gold2": f"head -n 1 /desk{number}/note.txt; echo That was all.",
            "difficulty": 0,
        }
        (assets / "datasets" / f"nl2bash_fs_{number}.json").write_text(json.dumps([entry]))
        script = f"#!/bin/sh\nmkdir -p /desk{number}\necho call back > /desk{number}/note.txt\n"
        (assets / "docker" / f"setup_nl2b_fs_{number}.sh").write_text(script)
    return tmp_path / "icalfa"


@pytest.fixture
def installed(package):
    skip_without_sandboxes()
    return DATA.install(package, None, ignore_progress)


def test_requests_come_with_their_golds_file_systems_and_splits(package, installed):
    assert installed[0] == "alfa_1    1 queries   published 153     3 files and folders"
    assert installed == DATA.verify(None, ignore_progress)
    collection = read_official(alfa_folder())
    assert [(query.id, query.split) for query in collection.queries] == [
        ("alfa_1/0", "train"),
        ("alfa_2/0", "train"),
        ("alfa_3/0", "test"),
        ("alfa_4/0", "test"),
        ("alfa_5/0", "test"),
    ]
    assert all(len(query.golds) == 2 for query in collection.queries)
    assert dict(collection.trees["alfa_1"].variables) == {"FILES": "/testbed/hello.c /testbed/FooBar.html"}
    assert [entry.path for entry in collection.trees["alfa_5"].entries] == [
        *("/desk5", "/desk5/note.txt", "/setup_nl2b_fs_5.sh")
    ]


def test_they_are_the_same_from_a_wheel(package, installed, tmp_path):
    before = (alfa_folder() / "fs_3.json").read_bytes()
    wheel = tmp_path / "icalfa-0.3.6-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        for path in sorted(package.rglob("*.*")):
            opened.write(path, f"icalfa/{path.relative_to(package)}")
    shutil.rmtree(alfa_folder())
    assert DATA.install(wheel, None, ignore_progress) == installed
    assert (alfa_folder() / "fs_3.json").read_bytes() == before


def test_the_gold_command_that_is_closer_counts(installed):
    environment = InterCodeBashEnvironment(InterCodeBashConfig(tasks="alfa", sandbox="bubblewrap"))
    task = environment.tasks("test")[0]
    scores = {}
    for command in (*environment.golds(task), "echo That was all."):
        with environment.open(task, seed=0) as episode:
            episode.step(command)
            episode.step("submit")
            scores[command] = round(episode.score(), 2)
    first, second, neither = scores.values()
    assert (first, second) == (1.0, 1.0)
    assert 0.67 < neither < 1.0


def test_check_runs_every_gold_command(installed, capsys):
    assert check(golds="alfa") == 0
    assert json.loads(capsys.readouterr().out) == {"tasks": "alfa", "gold commands": 10, "scored 1": 10}


def test_what_is_missing_is_named(package):
    with pytest.raises(DataError, match=r"pip download --no-deps icalfa, and use --from"):
        DATA.install(None, None, ignore_progress)
    (package / "assets" / "docker" / "setup_nl2b_fs_4.sh").unlink()
    with pytest.raises(DataError, match=r"has no setup_nl2b_fs_4\.sh: give a checkout"):
        DATA.install(package, None, ignore_progress)
    with pytest.raises(DataError, match=r"not a folder or wheel"):
        DATA.install(package / "assets" / "datasets" / "nl2bash_fs_1.json", None, ignore_progress)
