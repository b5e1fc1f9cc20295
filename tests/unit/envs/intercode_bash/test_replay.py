"""Replaying logged runs, and explaining the differences."""

import gzip
import json
import shutil

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.commands import check
from leap_exp.envs.intercode_bash.engine.differences import REASONS, equal_normalised, explain_output, explain_reward
from leap_exp.envs.intercode_bash.engine.queries import read_official
from leap_exp.envs.intercode_bash.engine.replay import replay


@pytest.fixture
def replayed(folder, engine):
    """Returns a function that replays episodes of file system 2, lists of (action, output, reward)."""

    def run(*episodes):
        runs = folder / "runs"
        runs.mkdir()
        (folder / "fs_2.json").write_text((folder / "fs_1.json").read_text())
        logged = []
        for steps in episodes:
            actions, observations, rewards = zip(*steps, strict=True)
            columns = {"actions": actions, "observations": observations, "rewards": rewards}
            logged.append({"task_id": len(logged), "query": "Read note 2.", **columns})
        (runs / "someone_fs_2.json.gz").write_bytes(gzip.compress(json.dumps(logged).encode()))
        return list(replay(runs, read_official(folder), engine(resident=True)))

    return run


def test_actions_are_compared_and_differences_have_reasons(replayed):
    actions = replayed(
        [
            ("ls /desk | sort -r", "note.txt\nraw.bin\n", 0.67),
            ("cat /desk/note.txt", "call\n", 0.5),
            ("cat /desk/note.txt", "call me\n", 1.0),
        ]
    )
    assert [(action.same_output, action.same_lines, action.same_reward) for action in actions] == [
        (False, True, True),
        (True, True, False),
        (False, False, True),
    ]
    assert [action.same_normalised for action in actions] == [True, True, False]
    assert [action.reason for action in actions] == ["order of folders", None, None]
    assert "'call me'" in str(actions[2])
    assert "unexplained" in str(actions[2])


def test_the_order_of_lines_does_not_explain_another_reward(replayed):
    actions = replayed([("ls /desk | sort -r", "note.txt\nraw.bin\n", 0.5)])
    assert actions[0].same_lines
    assert actions[0].reason is None


def test_files_that_git_ignores_remain_for_the_next_episode(replayed):
    actions = replayed(
        [
            ("echo kept > /home/mark; touch /desk/new; rm /desk/note.txt", "", 0.34),
            ("ls /home /desk", "/desk:\nnew\nraw.bin\n\n/home:\nmark\n", 0.34),
        ],
        [
            # It was a day old; the reset has just written it again.
            ("find /desk -name note.txt -mmin -60", "/desk/note.txt\n", 0.67),
            ("cat /home/mark; ls /desk", "kept\nnote.txt\nraw.bin\n", 0.67),
            ("cat /desk/note.txt", "call\n", 1.0),
        ],
    )
    assert [action.replayed for action in actions] == [action.logged for action in actions]
    assert [action.same_reward for action in actions][2:] == [True, True, True]


def test_missing_and_broken_logs_are_named(folder, engine):
    with pytest.raises(DataError, match="no logged runs"):
        list(replay(folder / "nowhere", read_official(folder), engine()))
    with pytest.raises(DataError, match=r"nl2bash_fs_1\.json is not a list of logged runs"):
        list(replay(folder, read_official(folder), engine()))


@pytest.mark.parametrize(
    ("action", "logged", "replayed", "reason"),
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
        ("date", "Fri Jun  2 10:13:14 UTC 2023\n", "Fri Nov 27 04:13:40 UTC 2026\n", "clock"),
        ("date +%s", "1685700000\n", "1795752820\n", "clock"),
        (
            "find /a -ls",
            "   786    4 -rw-r--r--   1 root root 9 May 26 10:13 /a/b\n",
            " 12786    4 -rw-r--r--   1 root root 9 May 26 10:13 /a/b\n",
            "inode numbers",
        ),
        (
            "find /a -ls",
            "   786    4 drwxr-xr-x   1 root root 4096 May 26 10:13 /a\n",
            "   786    0 drwxr-xr-x   1 root root 4096 May 26 10:13 /a\n",
            "block sizes",
        ),
        (
            "find /a -ls",
            "   786    4 drwxr-xr-x   1 root root 4096 May 26 10:13 /a\n",
            " 12786    0 drwxr-xr-x   1 root root 4096 Nov  5 09:01 /a\n",
            "clock + inode numbers + block sizes",
        ),
        (
            "find /a -ls",
            "1 4 drwxr-xr-x 1 root root 40 May 26 /a\n",
            "2 4 drwxr-xr-x 1 root root 60 May 26 /a\n",
            None,
        ),
        ("du -h /a", "8.0K\t/a/b\n12K\t/a\n", "4.0K\t/a/b\n4.0K\t/a\n", "block sizes"),
        ("cat /a/table", "8\tx\n", "4\tx\n", None),
        ("du -s /a | cut -f1", "12\n", "4\n", "block sizes"),
        ("ls -li /a", "786 -rw-r--r-- b\n", "12786 -rw-r--r-- b\n", "inode numbers"),
        ("stat /a", "Device: 1 Inode: 7 Links: 1\n", "Device: 1 Inode: 9 Links: 1\n", "inode numbers"),
        ("find /a -type f | head -1", "/a/b\n", "/a/c\n", "order inside a pipeline"),
        ("find /a -type f | head -1", "", "Command timed out", None),
        ("find /a -type f | xargs cat | tr '\\n' ' '", "x y\n", "y z\n", "order inside a pipeline"),
        ("sort /a/b | head -1", "/a/b\n", "/a/c\n", None),
        ("ls -l", "4 May 26 10:13 a\n", "5 Nov  5 09:01 a\n", None),
        ("cat a", "one\n", "two\n", None),
    ],
)
def test_differences_of_outputs_are_explained(action, logged, replayed, reason):
    reasons = explain_output(action, "cat a", logged, replayed)
    assert " + ".join(reasons) == (reason or "")
    assert set(reasons) <= set(REASONS)
    if equal_normalised(logged, replayed):
        assert set(reasons) <= {
            *("order of folders", "clock", "processor", "name of the machine", "inode numbers", "block sizes"),
        }


@pytest.mark.parametrize(
    ("logged", "replayed", "explained"),
    [
        ("/desk/a.txt\n/desk/old.txt\n", "/desk/a.txt\n", True),
        ("/desk/a.txt\n", "/desk/a.txt\n/desk/b.txt\n", True),
        ("/desk/a.txt\n/desk/old.txt\n", "/desk/a.txt\n/desk/b.txt\n", True),
        ("/desk/a.txt\n/desk/b.txt\n", "/desk/a.txt\n", False),
        ("/desk/a.txt\n", "/desk/a.txt\n/desk/made.txt\n", False),
        ("/desk/a.txt\nmore\n", "/desk/a.txt\n/desk/b.txt\n", False),
        ("/else/old.txt\n", "", False),
    ],
)
def test_lines_about_files_of_another_tree_are_explained(logged, replayed, explained):
    files = frozenset({"/desk", "/desk/a.txt", "/desk/b.txt"})
    reasons = explain_output("find /desk -name '*.txt'", "ls", logged, replayed, files)
    assert reasons == (("another version of the file system",) if explained else ())


def test_an_action_without_a_logged_output_is_skipped_and_counted(folder, engine, capsys):
    runs = folder / "runs"
    runs.mkdir()
    shutil.copy(folder / "fs_1.json", folder / "fs_2.json")
    blocked = {
        "task_id": 0, "query": "Read note 2.", "actions": ["cat /desk/note.txt", "rm -rf /"],
        "observations": ["call\n"], "rewards": [1.0],
    }  # fmt: skip
    gap = {**blocked, "task_id": 1, "actions": ["ls /desk", "cat /desk/note.txt"], "observations": [None, "call\n"]}
    (runs / "someone_fs_2.json").write_text(json.dumps([blocked, {**gap, "rewards": [0, 1.0]}]))
    engine()
    assert check(runs=runs) == 0
    output = capsys.readouterr().out
    assert "fs_2/0 action 1: skipped" in output
    assert "fs_2/1 action 0: skipped" in output
    assert "2 actions, equal outputs: 2 (100.0%)" in output
    assert output.rstrip().endswith("skipped: 2")


def test_runs_without_any_output_are_an_error(folder, engine):
    runs = folder / "runs"
    runs.mkdir()
    shutil.copy(folder / "fs_1.json", folder / "fs_2.json")
    blocked = {"task_id": 0, "query": "Read note 2.", "actions": ["rm"], "observations": [], "rewards": []}
    (runs / "someone_fs_2.json").write_text(json.dumps([blocked]))
    engine()
    with pytest.raises(DataError, match="None of the 1 actions"):
        check(runs=runs)


def test_a_reward_is_explained_by_the_gold_command():
    assert explain_reward("echo localhost", gold="dig -x 127.0.0.1") == ["network"]
    assert explain_reward("tar -zcf b x", gold="tar -zcf a x") == ["clock"]
    assert explain_reward("cat a", gold="cat b") == []
