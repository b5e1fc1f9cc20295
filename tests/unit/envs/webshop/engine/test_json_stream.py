import gzip
import json

import pytest

from leap_exp.core.errors import DataError
from leap_exp.envs.webshop.engine import json_stream
from leap_exp.envs.webshop.engine.json_stream import list_entries, object_entries

LIST = [{"a": 'é"]'}, {"b": [1, {"c": None}]}, 12345, "text", True]
OBJECT = {"one": {"x": [1]}, "two": 2.5, "three ]": "}"}


@pytest.fixture(params=[1, 3, 1 << 20])
def chunk(request, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", request.param)


@pytest.mark.parametrize("indent", [None, 2])
def test_entries_equal_those_of_the_file(tmp_path, chunk, indent):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(LIST, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert list(list_entries(path)) == LIST
    packed = tmp_path / "object.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(OBJECT, indent=indent).encode()))
    assert dict(object_entries(packed)) == OBJECT
    path.write_text("[]")
    assert list(list_entries(path)) == []


@pytest.mark.parametrize(
    "broken", ['[{"a": 1}, {"b"', "[1, 2", "[1 2]", "[1,]", '{"a": 1}', "", "[1] x", "[1, nonsense]"]
)
def test_a_broken_file_is_one_clear_error(tmp_path, chunk, broken):
    path = tmp_path / "list.json"
    path.write_text(broken)
    with pytest.raises(DataError, match=r"list\.json"):
        list(list_entries(path))


def test_a_truncated_archive_a_wrong_encoding_and_a_missing_file_are_errors(tmp_path):
    packed = tmp_path / "list.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(LIST).encode())[:-12])
    with pytest.raises(DataError, match="download it again"):
        list(list_entries(packed))
    path = tmp_path / "list.json"
    path.write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="UTF-8"):
        list(list_entries(path))
    with pytest.raises(DataError, match="no file"):
        list(list_entries(tmp_path / "none.json"))
    path.write_bytes(b"[]")
    path.rename(tmp_path / "no.json.gz")
    with pytest.raises(DataError, match="cannot be read"):
        list(list_entries(tmp_path / "no.json.gz"))


def test_progress_reaches_the_end(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(LIST))
    reports = []
    list(list_entries(path, lambda done, total: reports.append((done, total))))
    assert reports[-1] == (path.stat().st_size, path.stat().st_size)
