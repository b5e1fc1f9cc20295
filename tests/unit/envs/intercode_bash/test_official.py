import gzip
import json
import stat

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.official import read_official
from leap_exp.envs.intercode_bash.replay import replay
from leap_exp.envs.intercode_bash.trees import Entry, read_tree

DAY = 86_400


@pytest.fixture
def folder(tmp_path):
    """Two requests on one file system, in the authors' form."""
    for number in (1, 2, 3, 4):
        requests = [{"query": f"Read note {number}.", "gold": "cat /desk/note.txt"}] * number
        (tmp_path / f"nl2bash_fs_{number}.json").write_text(json.dumps(requests))
    entries = [
        {"path": "/desk/note.txt", "mode": "640", "type": "file", "text": "call\n", "mtime": "2023-05-25T12:00:00Z"},
        {"path": "/desk", "mode": "755", "type": "dir"},
        {"path": "/desk/raw.bin", "mode": "644", "type": "file", "base64": "AAH/"},
    ]
    (tmp_path / "fs_1.json").write_text(json.dumps(entries))
    return tmp_path


def test_requests_are_split_by_file_system(folder):
    requests = read_official(folder).requests
    assert [(request.id, request.split) for request in requests[:3]] == [
        ("fs_1/0", "train"),
        ("fs_2/0", "train"),
        ("fs_2/1", "train"),
    ]
    assert {request.split for request in requests if request.kind in ("fs_3", "fs_4")} == {"test"}


def test_a_tree_is_written_with_its_modes_and_contents_and_as_old_as_it_was(folder, tmp_path):
    tree = read_tree(folder / "fs_1.json")
    now = 2_000_000_000.0
    tree.write(tmp_path / "root", now=now)
    note = tmp_path / "root" / "desk" / "note.txt"
    assert note.read_text() == "call\n"
    assert stat.S_IMODE(note.stat().st_mode) == 0o640
    assert now - note.stat().st_mtime == DAY
    assert (tmp_path / "root" / "desk" / "raw.bin").read_bytes() == b"\x00\x01\xff"
    assert (tmp_path / "root" / "desk").stat().st_mtime == now


def test_what_is_missing_or_broken_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no requests of InterCode-Bash"):
        read_official(tmp_path / "nowhere")
    (folder / "fs_1.json").write_text('[{"path": "/x"')
    with pytest.raises(DataError, match=r"fs_1\.json"):
        read_official(folder)
    with pytest.raises(DataError, match="escape"):
        Entry(path="/desk/../../escape", mode=0o644)


def test_recorded_turns_are_played_again_and_compared(folder, engine):
    runs = folder / "runs"
    runs.mkdir()
    episode = {
        "task_id": 0,
        "query": "Read note 1.",
        "actions": ["ls /desk", "cat /desk/note.txt"],
        "observations": ["raw.bin\nnote.txt\n", "call\n"],
        "rewards": [0.67, 0.5],
    }
    (runs / "someone_fs_1.json.gz").write_bytes(gzip.compress(json.dumps([episode]).encode()))
    turns = list(replay(runs, read_official(folder), engine()))
    assert [(turn.same_observation, turn.same_words, turn.same_reward) for turn in turns] == [
        (False, True, True),
        (True, True, False),
    ]
    with pytest.raises(DataError, match="no recorded episodes"):
        list(replay(folder / "nowhere", read_official(folder), engine()))
    with pytest.raises(DataError, match=r"nl2bash_fs_1\.json is no list"):
        list(replay(folder, read_official(folder), engine()))
