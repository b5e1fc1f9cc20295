"""Recorded episodes, played again as they were recorded, and why they come out otherwise."""

import gzip
import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.differences import REASONS, are_alike, explain_output, explain_reward
from leap_exp.envs.intercode_bash.official import read_official
from leap_exp.envs.intercode_bash.replay import replay


@pytest.fixture
def play(folder, engine):
    """Plays episodes of file system 2, given as lists of (action, observation, reward)."""

    def run(*episodes):
        runs = folder / "runs"
        runs.mkdir()
        (folder / "fs_2.json").write_text((folder / "fs_1.json").read_text())
        recorded = []
        for turns in episodes:
            actions, observations, rewards = zip(*turns, strict=True)
            columns = {"actions": actions, "observations": observations, "rewards": rewards}
            recorded.append({"task_id": len(recorded), "query": "Read note 2.", **columns})
        (runs / "someone_fs_2.json.gz").write_bytes(gzip.compress(json.dumps(recorded).encode()))
        return list(replay(runs, read_official(folder), engine(resident=True)))

    return run


def test_turns_are_compared_and_differences_have_reasons(play):
    turns = play(
        [
            ("ls /desk | sort -r", "note.txt\nraw.bin\n", 0.67),
            ("cat /desk/note.txt", "call\n", 0.5),
            ("cat /desk/note.txt", "call me\n", 1.0),
        ]
    )
    assert [(turn.same_observation, turn.same_lines, turn.same_reward) for turn in turns] == [
        (False, True, True),
        (True, True, False),
        (False, False, True),
    ]
    assert [turn.alike_observation for turn in turns] == [True, True, False]
    assert [turn.reason for turn in turns] == ["order of folders", None, None]
    assert "'call me'" in str(turns[2])
    assert "unexplained" in str(turns[2])


def test_the_order_of_lines_is_no_reason_for_another_reward(play):
    turns = play([("ls /desk | sort -r", "note.txt\nraw.bin\n", 0.5)])
    assert turns[0].same_lines
    assert turns[0].reason is None


def test_what_git_does_not_reset_stays_for_the_next_episode_of_a_file(play):
    turns = play(
        [
            ("echo kept > /home/mark; touch /desk/new; rm /desk/note.txt", "", 0.34),
            ("ls /home /desk", "/desk:\nnew\nraw.bin\n\n/home:\nmark\n", 0.34),
        ],
        [
            # A day old at first; git has just written it again.
            ("find /desk -name note.txt -mmin -60", "/desk/note.txt\n", 0.67),
            ("cat /home/mark; ls /desk", "kept\nnote.txt\nraw.bin\n", 0.67),
            ("cat /desk/note.txt", "call\n", 1.0),
        ],
    )
    assert [turn.observed for turn in turns] == [turn.recorded for turn in turns]
    assert [turn.same_reward for turn in turns][2:] == [True, True, True]


def test_recordings_that_are_none_are_named(folder, engine):
    with pytest.raises(DataError, match="no recorded episodes"):
        list(replay(folder / "nowhere", read_official(folder), engine()))
    with pytest.raises(DataError, match=r"nl2bash_fs_1\.json is no list"):
        list(replay(folder, read_official(folder), engine()))


@pytest.mark.parametrize(
    ("action", "recorded", "observed", "reason"),
    [
        ("find /a", "/a\n/b\n", "/b\n/a\n", "order of folders"),
        ("ls -l", "-rw-r--r-- 1 root root 4 May 26 10:13 a\n", "-rw-r--r-- 1 root root 4 Nov  5 09:01 a\n", "clock"),
        (
            "ls -l",
            "4 May 26 10:13 a\n4 May 26 10:13 b\n",
            "4 Nov  5 09:01 b\n4 Nov  5 09:01 a\n",
            "clock + order of folders",
        ),
        ("awk 'END {print a / b}'", "nan\n", "-nan\n", "processor"),
        ("hostname", "750f73ff0550\n", "9511c6029c1f\n", "name of the machine"),
        ("tar c x", "tar: one\ntar: two\n", "tar: tar: one\ntwo\n", "two writers at a time"),
        ("tar -czf /backup/a.tgz /a", "tar: Child returned status 2\n", "tar: Broken pipe\n", "two writers at a time"),
        ("uname -r", "5.15.49-linuxkit\n", "6.1.0\n", "kernel and its processes"),
        ("ls -l", "4 May 26 10:13 a\n", "5 Nov  5 09:01 a\n", None),
        ("cat a", "one\n", "two\n", None),
    ],
)
def test_reasons_of_outputs(action, recorded, observed, reason):
    reasons = explain_output(action, "cat a", recorded, observed)
    assert " + ".join(reasons) == (reason or "")
    assert set(reasons) <= set(REASONS)
    shown = {"order of folders", "clock", "processor", "name of the machine"}
    assert are_alike(recorded, observed) == (bool(reasons) and set(reasons) <= shown)


def test_a_reward_is_explained_by_what_the_gold_command_asks_for():
    assert explain_reward("echo localhost", gold="dig -x 127.0.0.1") == ["network"]
    assert explain_reward("tar -zcf b x", gold="tar -zcf a x") == ["clock"]
    assert explain_reward("cat a", gold="cat b") == []
