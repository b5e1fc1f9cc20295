"""Reading the authors' queries and file trees."""

import json
import stat

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.intercode_bash.engine.queries import read_official
from leap_exp.envs.intercode_bash.engine.trees import Entry, read_tree

DAY = 86_400


def test_queries_are_split_by_file_system(folder):
    queries = read_official(folder).queries
    assert [(query.id, query.split) for query in queries[:3]] == [
        ("fs_1/0", "train"),
        ("fs_2/0", "train"),
        ("fs_2/1", "train"),
    ]
    assert {query.split for query in queries if query.kind in ("fs_3", "fs_4")} == {"test"}


def test_a_tree_is_written_with_its_modes_contents_and_ages(folder, tmp_path):
    tree = read_tree(folder / "fs_1.json")
    now = 2_000_000_000.0
    tree.write(tmp_path / "root", now=now)
    note = tmp_path / "root" / "desk" / "note.txt"
    assert note.read_text() == "call\n"
    assert stat.S_IMODE(note.stat().st_mode) == 0o640
    assert now - note.stat().st_mtime == DAY
    assert (tmp_path / "root" / "desk" / "raw.bin").read_bytes() == b"\x00\x01\xff"
    assert (tmp_path / "root" / "desk").stat().st_mtime == now


def test_missing_and_broken_files_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no InterCode-Bash queries"):
        read_official(tmp_path / "nowhere")
    (folder / "fs_1.json").write_text('[{"path": "/x"')
    with pytest.raises(DataError, match=r"fs_1\.json"):
        read_official(folder)
    with pytest.raises(DataError, match="escape"):
        Entry(path="/desk/../../escape", mode=0o644)


def test_a_tree_has_the_variables_and_script_of_its_image(folder, tmp_path):
    trees = read_official(folder).trees
    assert dict(trees["fs_4"].variables) == {"file_system_version": "4", "script": "setup_nl2b_fs_4.sh"}
    trees["fs_1"].write(tmp_path / "root", now=2_000_000_000.0)
    assert (tmp_path / "root" / "setup_nl2b_fs_1.sh").is_file()
    assert 2_000_000_000.0 - (tmp_path / "root" / "desk" / "raw.bin").stat().st_mtime == 10 * DAY


def test_a_dumped_script_is_kept(folder):
    entries = json.loads((folder / "fs_1.json").read_text())
    entries.append({"path": "/setup_nl2b_fs_1.sh", "mode": "755", "type": "file", "text": "mkdir /desk\n"})
    (folder / "fs_1.json").write_text(json.dumps(entries))
    scripts = [entry for entry in read_official(folder).trees["fs_1"].entries if entry.path == "/setup_nl2b_fs_1.sh"]
    assert [entry.content for entry in scripts] == [b"mkdir /desk\n"]
